"""The views of a log that nobody had to write: rows made by Postgres itself, many and quickly."""

import asyncio
from uuid import UUID

import psycopg

from eventlog.settings import Settings
from projections.catalogue import VIEWS
from projections.generations import live_generation
from service.database import connect

# Statuses as a shop has them, few of them in the making; customers with ten orders each; a thousand skus.
_FILL = """
    INSERT INTO {schema}.orders
    SELECT gen_random_uuid(), 'customer-' || n % greatest({orders} / 10, 1), 'ada@example.com',
        CASE WHEN n % 5 = 0 THEN 'GBP' ELSE 'EUR' END,
        CASE WHEN n % 1000 = 0 THEN 'rejected' WHEN n % 50 = 0 THEN 'open' WHEN n % 20 = 0 THEN 'paid'
            ELSE 'delivered' END,
        (n * 7919::bigint) % 100000, 0, 0,
        jsonb_build_object('name', 'Ada Lovelace', 'street', n || ' Dorset Street', 'city', 'London',
            'postal_code', 'SW1Y 4JH', 'country', 'GB'),
        NULL, NULL, NULL, 3, timestamptz '2026-01-01' + n * interval '25 s',
        timestamptz '2026-02-01' + n * interval '25 s'
    FROM generate_series(1, {orders}) n;
    INSERT INTO {schema}.order_lines
    SELECT order_id, line, 'SKU-' || (hashtext(order_id::text || line) & 1023) % 1000, 2, 499, 0
    FROM {schema}.orders, generate_series(0, 1) line;
    INSERT INTO {schema}.order_texts (order_id, source, text)
    SELECT order_id, 0, 'Ada Lovelace ' || (shipping_address->>'street') || ' London SW1Y 4JH GB' FROM {schema}.orders
    UNION ALL
    SELECT order_id, 3, 'pay-' || row_number() OVER () FROM {schema}.orders;
    INSERT INTO {schema}.order_events
    SELECT order_id, 1, 'OrderPlaced', placed_at, placed_at, 0, row_number() OVER (), 'command', 'correlation', '{{}}'
    FROM {schema}.orders;
    INSERT INTO {schema}.customers
    SELECT customer_id, currency, 0, count(*), sum(paid), 0, 0, 0, max(placed_at)
    FROM {schema}.orders GROUP BY customer_id, currency;
"""

_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND indexname NOT LIKE '%%_pkey'"


async def fill_views(settings: Settings, orders: int) -> None:
    """Make the orders view and put `orders` orders into it."""
    async with await connect(settings.postgres_url) as connection:
        generation = await live_generation(connection, VIEWS["orders"])
    await asyncio.to_thread(_fill, settings.postgres_url, generation.schema, orders)


def order_ids(settings: Settings, count: int) -> list[UUID]:
    """The ids of `count` orders, from all over the table."""
    with psycopg.connect(settings.postgres_url) as connection:
        rows = connection.execute("SELECT order_id FROM views.orders ORDER BY order_id LIMIT %s", [count]).fetchall()
    return [order_id for (order_id,) in rows]


def _fill(postgres_url: str, schema: str, orders: int) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        # Indexes last: kept up row by row they take most of the time.
        found = connection.execute(_INDEXES, [schema]).fetchall()
        for name, _ in found:
            connection.execute(f"DROP INDEX {schema}.{name}".encode())
        connection.execute(_FILL.format(schema=schema, orders=orders).encode())
        for _, definition in found:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
