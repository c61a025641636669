"""Generations that are being built, that were replaced, and that stand beside: see docs/adr/0023-rebuild.md."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

SCHEMA = "orderlog"


def upgrade() -> None:
    """Give generations their other states, and what is known of a rebuild."""
    _states("'building', 'live', 'retired', 'aside'")
    for column in _columns():
        op.add_column("generations", column, schema=SCHEMA)
    op.create_index(
        "one_building_generation",
        "generations",
        ["projection"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'building'"),
    )
    _checkpoints(ondelete="CASCADE")


def downgrade() -> None:
    """Forget every generation but the live ones; their schemas stay."""
    op.execute(f"DELETE FROM {SCHEMA}.generations WHERE state <> 'live'")
    _checkpoints(ondelete=None)
    op.drop_index("one_building_generation", table_name="generations", schema=SCHEMA)
    for column in _columns():
        op.drop_column("generations", column.name, schema=SCHEMA)
    _states("'live'")


def _columns() -> list[sa.Column[object]]:
    now = sa.func.now()
    return [
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=now, comment="of state"),
        sa.Column("builder", sa.Text, comment="who builds it, for people: process and host"),
        sa.Column("progress", JSONB, comment="how far its builder has come: projections/rebuild/standing.py"),
        sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false(), comment="is to be given up"),
        sa.Column("ends", JSONB, comment="{partition: offset} up to which it is made, if it stands aside"),
    ]


def _states(known: str) -> None:
    op.drop_constraint("known_state", "generations", schema=SCHEMA)
    op.create_check_constraint("known_state", "generations", f"state IN ({known})", schema=SCHEMA)


def _checkpoints(ondelete: str | None) -> None:
    op.drop_constraint("checkpoint_of_generation", "checkpoints", schema=SCHEMA)
    op.create_foreign_key(
        "checkpoint_of_generation",
        "checkpoints",
        "generations",
        ["projection", "generation"],
        ["projection", "generation"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
        ondelete=ondelete,
    )
