"""What Alembic runs: the migrations, on the connection that it was given."""

from typing import Any, Literal

from alembic import context

from corpus.controller.registry.models import Base, UtcTime


def _rendered(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A migration says what a column is to the database, and goes on saying so when the models change."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite can, with transactions begun by hand as in store.py
    render_as_batch=True,  # SQLite cannot alter much: tables are copied
    render_item=_rendered,
)
with context.begin_transaction():
    context.run_migrations()
