"""What subscribers have taken in, what they set aside, and what they still have to do."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

SCHEMA = "subscribers"


def upgrade() -> None:
    """Create the schema `subscribers` with `inbox`, `parked` and `outbox`."""
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    _inbox()
    _parked()
    _outbox()


def downgrade() -> None:
    """Drop them: events that come again would be handled again."""
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("subscriber", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        *_place(),
        sa.Column("answer", JSONB, comment="the event that it answered with"),
        sa.Column("unpublished", sa.Boolean, nullable=False, server_default=sa.false(), comment="by a redrive"),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema=SCHEMA,
    )
    op.create_index("inbox_age", "inbox", ["subscriber", "taken_at"], schema=SCHEMA)
    _index("inbox", "inbox_unpublished", ["subscriber"], "unpublished")


def _parked() -> None:
    op.create_table(
        "parked",
        sa.Column("sequence", sa.BigInteger, sa.Identity(), primary_key=True, comment="in which they came"),
        sa.Column("subscriber", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False, comment="topic:partition:offset of a record that has none"),
        *_place(),
        sa.Column("order_id", sa.Uuid, comment="null when the record does not tell: it then holds up no order"),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False, comment="the broker's"),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.ARRAY(sa.LargeBinary), nullable=False, comment="name, value, name, value, …"),
        sa.Column("state", sa.Text, nullable=False, comment="failed itself, or is behind one of its order that did"),
        sa.Column("reason", sa.Text, nullable=False, comment="for people, one line"),
        sa.Column("traceback", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, comment="how often it was tried; 0 behind another"),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("resolved_at", sa.DateTime(timezone=True), comment="when it was redriven or discarded"),
        sa.UniqueConstraint("subscriber", "topic", "partition", "offset", name="parked_once"),
        sa.CheckConstraint("state IN ('failed', 'behind', 'redriven', 'discarded')", name="known_state"),
        schema=SCHEMA,
    )
    _index("parked", "parked_orders", ["subscriber", "order_id"], "state IN ('failed', 'behind')")


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("subscriber", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False, comment="of the event that it follows from"),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("what", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Text, comment="the process that is at it; due_at is when it is anybody's again"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="failed by its own fault"),
        sa.Column("reason", sa.Text, comment="why the last attempt ended as it did"),
        sa.Column("put_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('waiting', 'done', 'dead', 'discarded')", name="known_state"),
        schema=SCHEMA,
    )
    _index("outbox", "outbox_due", ["subscriber", "due_at"], "state = 'waiting'")
    _index("outbox", "outbox_dead", ["subscriber", "event_id"], "state = 'dead'")
    op.create_index("outbox_age", "outbox", ["subscriber", "settled_at"], schema=SCHEMA)


def _place() -> list[sa.Column[Any]]:
    return [
        sa.Column("topic", sa.Text, nullable=False, comment="its name in the catalogue"),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    ]


def _index(table: str, name: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, schema=SCHEMA, postgresql_where=sa.text(where))
