"""People, and what the web keeps of them: tokens, audit, events, questions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROLES = {"developer": "deployer", "reader": "viewer"}


def upgrade() -> None:
    """Add tables; a guest has an owner, a role may be one in a platform."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("token", sa.String(length=36), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(length=36), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_index(op.f("ix_audit_subject_id"), "audit", ["subject", "id"], unique=False)
    op.create_index(op.f("ix_audit_who_id"), "audit", ["who", "id"], unique=False)

    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("operation", sa.String(length=36), nullable=True),
        sa.Column("subject", sa.String(length=300), nullable=True),
        sa.Column("project", sa.String(length=31), nullable=True),
        sa.Column("guest", sa.String(length=63), nullable=True),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"], unique=False)
    op.create_index(op.f("ix_events_operation"), "events", ["operation"], unique=False)
    op.create_index(op.f("ix_events_project_id"), "events", ["project", "id"], unique=False)

    op.create_table(
        "questions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("arguments", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("asked", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("blame", sa.String(length=20), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("uuid", name=op.f("uq_questions_uuid")),
    )
    op.create_index(op.f("ix_questions_asked"), "questions", ["asked"], unique=False)

    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("groups", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("checked", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('session', 'personal')", name=op.f("ck_access_tokens_kind")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["owners.id"], name=op.f("fk_access_tokens_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_access_tokens_digest")),
        sa.UniqueConstraint("uuid", name=op.f("uq_access_tokens_uuid")),
    )
    op.create_index(op.f("ix_access_tokens_expires"), "access_tokens", ["expires"], unique=False)
    op.create_index(op.f("ix_access_tokens_owner_id"), "access_tokens", ["owner_id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["owners.id"], name=op.f("fk_idempotency_keys_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("owner_id", "key", name=op.f("uq_idempotency_keys_owner_id_key")),
    )
    op.create_index(op.f("ix_idempotency_keys_created"), "idempotency_keys", ["created"], unique=False)

    _guests()
    _roles()
    _append_only("audit")


def _guests() -> None:
    """Said in words that both databases know: a copy of the table would lose its triggers and checks."""
    op.execute("ALTER TABLE guests ADD COLUMN owner_id INTEGER CONSTRAINT fk_guests_owner_id REFERENCES owners (id)")
    op.create_index(op.f("ix_guests_owner_id"), "guests", ["owner_id"], unique=False)


def _roles() -> None:
    op.execute("CREATE TABLE roles_before AS SELECT * FROM roles")
    op.drop_table("roles")
    op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("platform_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.CheckConstraint("name IN ('sysadmin', 'owner', 'deployer', 'viewer')", name=op.f("ck_roles_name")),
        sa.CheckConstraint("project_id IS NULL OR platform_id IS NULL", name=op.f("ck_roles_place")),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name=op.f("fk_roles_owner_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_roles_project_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["platform_id"], ["platforms.id"], name=op.f("fk_roles_platform_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("owner_id", "project_id", "name", name=op.f("uq_roles_owner_id_project_id_name")),
        sa.UniqueConstraint("owner_id", "platform_id", "name", name=op.f("uq_roles_owner_id_platform_id_name")),
    )
    op.create_index(op.f("ix_roles_project_id"), "roles", ["project_id"], unique=False)
    op.create_index(op.f("ix_roles_platform_id"), "roles", ["platform_id"], unique=False)
    everywhere = sa.text("project_id IS NULL AND platform_id IS NULL")
    op.create_index(
        "uq_roles_everywhere",
        "roles",
        ["owner_id", "name"],
        unique=True,
        sqlite_where=everywhere,
        postgresql_where=everywhere,
    )
    kept = op.get_bind().execute(sa.text("SELECT owner_id, project_id, name FROM roles_before ORDER BY id")).all()
    roles = sa.table("roles", sa.column("owner_id"), sa.column("project_id"), sa.column("name"))
    op.bulk_insert(
        roles,
        [
            {"owner_id": owner, "project_id": project, "name": name}
            for owner, project, name in dict.fromkeys((row[0], row[1], _ROLES.get(row[2], row[2])) for row in kept)
        ],
    )
    op.drop_table("roles_before")


def _append_only(table: str) -> None:
    """Let triggers refuse to change or delete rows."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute(
            f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
    for event in ("UPDATE", "DELETE"):
        name = f"{table}_no_{event.lower()}"
        if postgresql:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW "
                f"EXECUTE FUNCTION {table}_is_append_only()"
            )
        else:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
