"""Indexes by which deployments are found, however many there are."""

from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES = (
    ["started"],
    ["result", "started"],
    ["guest_name", "started"],
    ["project_id", "result", "started"],
    ["project_id", "deployment_id"],
)


def upgrade() -> None:
    """Find deployments by time, result and guest, of one project or of all."""
    for columns in _INDEXES:
        op.create_index(op.f(f"ix_deployments_{'_'.join(columns)}"), "deployments", columns, unique=False)
