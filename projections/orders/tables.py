"""The view's tables. They carry no schema: each generation makes them in its own (projections/generations.py).

Each index is there for a query of query_side/: tests/query_side/test_plans.py says which.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("email", Text),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("total", BigInteger, nullable=False, comment="minor units of currency, like paid and refunded"),
    Column("paid", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("shipping_address", JSONB),
    Column("reason", Text, comment="why it was rejected, cancelled or returned"),
    Column("carrier", Text),
    Column("tracking", Text),
    Column("version", Integer, nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("orders_by_time", "placed_at", "order_id"),
    Index("orders_by_update", "updated_at", "order_id"),
    Index("orders_by_customer", "customer_id", "placed_at", "order_id"),
    Index("orders_by_status", "status", "placed_at", "order_id"),
    Index("orders_by_total", "currency", "total", "order_id"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("position", SmallInteger, primary_key=True, comment="from 0, in the order the customer sees"),
    Column("sku", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("returned", Integer, nullable=False),
    Index("order_lines_by_sku", "sku", "order_id"),
)

# A row for each text, written once, rather than a column of `orders`: that row changes with nearly every event,
# and each change would be put into the index of words again.
order_texts = Table(
    "order_texts",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("source", Integer, primary_key=True, comment="0 for the address; else the version that brought a reference"),
    Column("text", Text, nullable=False),
    Column(
        "words",
        TSVECTOR,
        # By hand rather than by a text search configuration, to whose parser "pay-1" is a word and a number below 0.
        Computed("array_to_tsvector(array_remove(regexp_split_to_array(lower(text), '[^[:alnum:]]+'), ''))", True),
    ),
    Index("order_texts_by_word", "words", postgresql_using="gin"),
)

# Orders of one customer lie in many partitions, which different workers apply at once. With the partition in the
# key no two of them write one row; readers sum (docs/adr/0015-customers-and-timeline.md).
customers = Table(
    "customers",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("orders", Integer, nullable=False, info={"merge": "sum"}),
    Column("paid", BigInteger, nullable=False, info={"merge": "sum"}),
    Column("refunded", BigInteger, nullable=False, info={"merge": "sum"}),
    Column("returned_pieces", BigInteger, nullable=False, info={"merge": "sum"}),
    Column("returned_amount", BigInteger, nullable=False, info={"merge": "sum"}, comment="at the price they had"),
    Column("last_order_at", DateTime(timezone=True), nullable=False, info={"merge": "greatest"}),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False, comment="when it happened"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, comment="when the log took it"),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("data", JSONB, nullable=False, comment="the event's fields but order_id"),
)
