"""Operations are found by who asked for them."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Find a person's own operations, however many others there are."""
    op.create_index(op.f("ix_operations_who"), "operations", ["who"], unique=False)
