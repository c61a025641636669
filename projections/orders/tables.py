"""The view's tables. They carry no schema: each generation makes them in its own (projections/generations.py)."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

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
    Index("orders_by_customer", "customer_id", "placed_at", "order_id"),
    Index("orders_by_status", "status", "placed_at", "order_id"),
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
)
