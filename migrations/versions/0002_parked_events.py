"""Events that a view could not apply, and those of the same order that wait behind them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "orderlog"
_STILL_PARKED = "state IN ('failed', 'behind')"


def upgrade() -> None:
    """Create `parked_events`."""
    op.create_table(
        "parked_events",
        *_place(),
        *_record(),
        sa.Column("state", sa.Text, nullable=False, comment="failed itself, or is behind one of its order that did"),
        sa.Column("reason", sa.Text, nullable=False, comment="for people, one line"),
        sa.Column("traceback", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, comment="how often it was tried; 0 behind another"),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("tried_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_at", sa.DateTime(timezone=True), comment="when it was redriven or discarded"),
        sa.Column("announced_at", sa.DateTime(timezone=True), comment="when order.events.dlq had it"),
        sa.CheckConstraint("state IN ('failed', 'behind', 'redriven', 'discarded')", name="known_state"),
        sa.ForeignKeyConstraint(
            ["projection", "generation"],
            [f"{SCHEMA}.generations.projection", f"{SCHEMA}.generations.generation"],
            name="parked_of_generation",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    _index("parked_orders", ["projection", "generation", "partition", "order_id"], _STILL_PARKED)
    _index("parked_unannounced", ["projection", "partition", "offset"], "announced_at IS NULL")


def downgrade() -> None:
    """Drop it: what is parked would be lost to its views, though not to the log."""
    op.drop_table("parked_events", schema=SCHEMA)


def _place() -> list[sa.Column[Any]]:
    return [
        sa.Column("projection", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("order_id", sa.Uuid, comment="null when the record does not tell: it then holds up no order"),
    ]


def _record() -> list[sa.Column[Any]]:
    return [
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False, comment="the broker's"),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.ARRAY(sa.LargeBinary), nullable=False, comment="name, value, name, value, …"),
    ]


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "parked_events", columns, schema=SCHEMA, postgresql_where=sa.text(where))
