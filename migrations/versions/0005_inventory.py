"""The stock: levels by sku, what is reserved for which order, and what people received and adjusted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

SCHEMA = "inventory"
_PIECES = ("received", "available", "reserved", "shipped", "unstocked")


def upgrade() -> None:
    """Create the schema `inventory` with `levels`, `reservations` and `movements`."""
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    _levels()
    _reservations()
    _movements()


def downgrade() -> None:
    """Drop them: the stock would have to be counted again."""
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def _levels() -> None:
    op.create_table(
        "levels",
        # Sorted by bytes: pages and prefixes then follow the primary key.
        sa.Column("sku", sa.Text(collation="C"), primary_key=True),
        *_pieces(),
        sa.CheckConstraint("received = available + reserved + shipped", name="nothing_leaks"),
        sa.CheckConstraint(
            "received >= 0 AND available >= 0 AND reserved >= 0 AND shipped >= 0 AND unstocked >= 0",
            name="never_negative",
        ),
        schema=SCHEMA,
    )


def _reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("order_version", sa.Integer, nullable=False, comment="that the lines are of; 0 before they came"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lines", JSONB, nullable=False, comment="{sku: {wanted, returned, unstocked}}, without zeros"),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("state IN ('reserved', 'rejected', 'ended', 'shipped')", name="known_state"),
        schema=SCHEMA,
    )


def _movements() -> None:
    op.create_table(
        "movements",
        sa.Column("sequence", sa.BigInteger, sa.Identity(), primary_key=True, comment="in which they happened"),
        sa.Column("sku", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False, comment="pieces that came in; negative for missing ones"),
        sa.Column("reason", sa.Text, nullable=False, comment="empty for a receipt"),
        sa.Column("idempotency_key", sa.Text),
        *_pieces("afterwards"),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("sku", "idempotency_key", name="moved_once"),
        sa.CheckConstraint("kind IN ('receipt', 'adjustment')", name="known_kind"),
        schema=SCHEMA,
    )


def _pieces(comment: str | None = None) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment) for name in _PIECES]
