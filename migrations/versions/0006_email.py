"""Who an order's mails go to."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = "email"


def upgrade() -> None:
    """Create the schema `email` with `contacts`."""
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    op.create_table(
        "contacts",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("order_version", sa.BigInteger, nullable=False, comment="of which the rest is"),
        sa.Column("email", sa.Text, comment="null when it was erased"),
        sa.Column("name", sa.Text),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False, comment="in minor units"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop it: mails that are owed then wait for contacts that nobody tells again."""
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
