"""Questions are taken by one of several that could answer them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Let a process of the controller's answer, too, and each question be answered once."""
    op.add_column("questions", sa.Column("taken", sa.DateTime(timezone=True), nullable=True))
