"""What the queries read: the views by their stable names, and the positions they stand at."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

_views = MetaData(schema="views")
_lasting = MetaData(schema="orderlog")

orders = Table(
    "orders",
    _views,
    Column("order_id", Uuid),
    Column("customer_id", Text),
    Column("email", Text),
    Column("currency", Text),
    Column("status", Text),
    Column("total", BigInteger),
    Column("paid", BigInteger),
    Column("refunded", BigInteger),
    Column("shipping_address", JSONB),
    Column("reason", Text),
    Column("carrier", Text),
    Column("tracking", Text),
    Column("version", Integer),
    Column("placed_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
)

order_lines = Table(
    "order_lines",
    _views,
    Column("order_id", Uuid),
    Column("position", Integer),
    Column("sku", Text),
    Column("quantity", Integer),
    Column("unit_price", BigInteger),
    Column("returned", Integer),
)

sales_workers = Table("sales_workers", _views, Column("partition", Integer), Column("url", Text))

generations = Table(
    "generations",
    _lasting,
    Column("generation", Integer),
    Column("projection", Text),
    Column("state", Text),
)

checkpoints = Table(
    "checkpoints",
    _lasting,
    Column("projection", Text),
    Column("generation", Integer),
    Column("partition", Integer),
    Column("next_offset", BigInteger),
)
