"""Generations of the views, how far each has read, and of which log."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SCHEMA = "orderlog"


def upgrade() -> None:
    """Create `generations`, `checkpoints` and `logs`."""
    _generations()
    _checkpoints()
    op.create_table(
        "logs",
        sa.Column("topic", sa.Text, primary_key=True, comment="physical name of the topic"),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("topic_id", sa.Uuid, nullable=False, comment="another one after the topic was made anew"),
        _now("recorded_at"),
        schema=SCHEMA,
        comment="the logs that this database's positions belong to",
    )


def downgrade() -> None:
    """Drop all three: every view would start from the log's beginning."""
    for table in ("logs", "checkpoints", "generations"):
        op.drop_table(table, schema=SCHEMA)


def _generations() -> None:
    op.create_table(
        "generations",
        sa.Column("generation", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("projection", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, comment="of the projection's code that makes it"),
        sa.Column("state", sa.Text, nullable=False),
        _now("created_at"),
        sa.CheckConstraint("state IN ('live')", name="known_state"),
        sa.UniqueConstraint("projection", "generation", name="generation_of_projection"),
        schema=SCHEMA,
    )
    op.create_index(
        "one_live_generation",
        "generations",
        ["projection"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'live'"),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("projection", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False, comment="the first record that is not in the view"),
        sa.Column("term", sa.BigInteger, nullable=False, comment="of the last barrier before next_offset"),
        _now("updated_at"),
        sa.ForeignKeyConstraint(
            ["projection", "generation"],
            [f"{SCHEMA}.generations.projection", f"{SCHEMA}.generations.generation"],
            name="checkpoint_of_generation",
        ),
        schema=SCHEMA,
    )


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
