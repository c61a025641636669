"""The independent fold of projections/verifying over a whole log, in a form to compare with what readers see."""

from collections.abc import Iterable, Mapping, Set
from typing import Any
from uuid import UUID

import psycopg
from msgspec import to_builtins
from psycopg.rows import dict_row

from eventlog.reader import log_ends, read_partition
from eventlog.recorded import RecordedEvent, read_record
from eventlog.settings import Settings
from projections.verifying.log_events import Told
from projections.verifying.order_state import Orders, OrderState
from schemas.codec import Codec
from schemas.events import WriterElected

_COLUMNS = """
    order_id::text, customer_id, email, currency, status, total, paid, refunded, shipping_address->>'street' AS street,
    reason, carrier, tracking, version, placed_at, updated_at, (
        SELECT coalesce(jsonb_agg(jsonb_build_array(sku, quantity, unit_price, returned) ORDER BY position), '[]')
        FROM views.order_lines WHERE order_lines.order_id = orders.order_id
    ) AS lines
"""


async def folded_log(settings: Settings, codec: Codec, but: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Every order of the log by its id, as if the records at the positions `but` were not there."""
    topic = settings.topic("order.events")
    orders: dict[str, dict[str, Any]] = {}
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        counted: list[RecordedEvent] = []
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            found = [record for record in records if f"{partition}:{record.offset}" not in but]
            counted += [read_record(codec, partition, record) for record in found]
        orders |= folded(counted)
    return orders


def folded(recorded: Iterable[RecordedEvent]) -> dict[str, dict[str, Any]]:
    """Every order of these events by its id, in the form of `view`. Knows nothing of terms."""
    return {str(order_id): _shown(state) for order_id, state in states(recorded).items()}


def states(recorded: Iterable[RecordedEvent]) -> dict[Any, OrderState]:
    """Every order of these events, as the independent fold has it."""
    orders = Orders(0)
    for _ in orders.take(told(recorded)):
        pass
    return orders.by_id


def told(recorded: Iterable[RecordedEvent]) -> list[Told]:
    """The events of orders among `recorded`, as the independent fold takes them."""
    found = []
    for one in recorded:
        if isinstance(one.event, WriterElected):
            continue
        about, content = one.metadata, to_builtins(one.event, builtin_types=(UUID,))
        which = (one.position.offset, type(one.event).__name__, content.pop("order_id"), about.version)
        why = (about.command_id, about.correlation_id)
        found.append(Told(*which, about.time, one.recorded_at, *why, content))
    return found


def view(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every order of the view by its id, in the form of `folded`."""
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM views.orders".encode()).fetchall()
    return {row.pop("order_id"): row for row in rows}


def next_offsets(settings: Settings, projection: str | None = None) -> Mapping[int, int]:
    """The live view's position in each partition; empty while there is none. Of several views, name one."""
    query = """
        SELECT partition, next_offset FROM orderlog.checkpoints JOIN orderlog.generations USING (projection, generation)
        WHERE state = 'live' AND (%s::text IS NULL OR projection = %s)
    """
    with psycopg.connect(settings.postgres_url) as connection:
        return dict(connection.execute(query, [projection, projection]).fetchall())


def _shown(state: OrderState) -> dict[str, Any]:
    columns: tuple[str, ...] = (
        "customer_id",
        "email",
        "currency",
        "status",
        "total",
        "paid",
        "refunded",
        "reason",
        "carrier",
    )
    columns += ("tracking", "version", "placed_at", "updated_at")
    return {
        **{name: getattr(state, name) for name in columns},
        "street": state.address and state.address["street"],
        "lines": [[line.sku, line.quantity, line.price, line.returned] for line in state.lines],
    }
