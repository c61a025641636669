"""Alembic's entry: migrate on the connection that `migrations.upgrade` holds its lock on."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="orderlog")
with context.begin_transaction():
    context.run_migrations()
