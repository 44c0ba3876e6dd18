"""Alembic's entry: migrate on the connection that was handed over."""

from alembic import context

from hybridnb.ledger.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
