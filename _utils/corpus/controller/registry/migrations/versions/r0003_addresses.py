"""Guests are found by their addresses, as their PTR asks for."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add indexes."""
    op.create_index("ix_guests_address", "guests", ["address"])
    op.create_index("ix_guests_address6", "guests", ["address6"])
