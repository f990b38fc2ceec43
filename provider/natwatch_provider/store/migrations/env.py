"""What Alembic runs around the migrations: they use the connection that upgrade() holds."""

from alembic import context

from natwatch_provider.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
