"""Guests of a state are found by name."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Find the few guests that failed in an index alone: SQLite looked at every guest, since most are in one state."""
    op.create_index(op.f("ix_guests_state_name"), "guests", ["state", "name"], unique=False)
    op.drop_index(op.f("ix_guests_state"), "guests")
