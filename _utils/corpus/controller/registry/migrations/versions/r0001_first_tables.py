"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The first tables."""
    op.create_table(
        "compute_nodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("minion_id", sa.String(length=253), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("ssh_port", sa.Integer(), nullable=False),
        sa.Column("ssh_user", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=39), nullable=True),
        sa.Column("address6", sa.String(length=39), nullable=True),
        sa.Column("network", sa.String(length=43), nullable=True),
        sa.Column("network6", sa.String(length=43), nullable=True),
        sa.Column("guest_types", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=True),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("cpus", sa.Integer(), nullable=True),
        sa.Column("storage_size", sa.BigInteger(), nullable=True),
        sa.Column("storage_free", sa.BigInteger(), nullable=True),
        sa.Column("load", sa.Double(), nullable=True),
        sa.Column("inventory", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("inventoried", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name = lower(name) AND name <> ''", name=op.f("ck_compute_nodes_name")),
        sa.CheckConstraint(
            "state IN ('attaching', 'ready', 'draining', 'unlinked', 'failed')", name=op.f("ck_compute_nodes_state")
        ),
        sa.CheckConstraint("ssh_port BETWEEN 1 AND 65535", name=op.f("ck_compute_nodes_ssh_port")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compute_nodes")),
        sa.UniqueConstraint("host", "ssh_port", name=op.f("uq_compute_nodes_host_ssh_port")),
        sa.UniqueConstraint("minion_id", name=op.f("uq_compute_nodes_minion_id")),
        sa.UniqueConstraint("name", name=op.f("uq_compute_nodes_name")),
        sa.UniqueConstraint("network", name=op.f("uq_compute_nodes_network")),
        sa.UniqueConstraint("network6", name=op.f("uq_compute_nodes_network6")),
        sa.UniqueConstraint("uuid", name=op.f("uq_compute_nodes_uuid")),
    )
    op.create_index(op.f("ix_compute_nodes_state"), "compute_nodes", ["state"], unique=False)

    op.create_table(
        "credentials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("subject", "name", name=op.f("uq_credentials_subject_name")),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_images_name_version")),
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=True),
        sa.Column("arguments", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'running', 'done', 'undoing', 'undone', 'failed')", name=op.f("ck_operations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        sa.UniqueConstraint("uuid", name=op.f("uq_operations_uuid")),
    )
    op.create_index(op.f("ix_operations_created"), "operations", ["created"], unique=False)
    op.create_index(op.f("ix_operations_state"), "operations", ["state"], unique=False)
    op.create_index(op.f("ix_operations_subject"), "operations", ["subject"], unique=False)

    op.create_table(
        "owners",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name = lower(name) AND name <> ''", name=op.f("ck_owners_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owners")),
        sa.UniqueConstraint("name", name=op.f("uq_owners_name")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=31), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("name = lower(name) AND name <> ''", name=op.f("ck_projects_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_projects_uuid")),
    )
    op.create_table(
        "minion_ids",
        sa.Column("minion_id", sa.String(length=253), nullable=False),
        sa.PrimaryKeyConstraint("minion_id", name=op.f("pk_minion_ids")),
    )
    op.create_table(
        "turns",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_turns")),
    )
    op.create_table(
        "node_images",
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("synchronized", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_node_images_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["node_id"], ["compute_nodes.id"], name=op.f("fk_node_images_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "image_id", name=op.f("pk_node_images")),
    )
    op.create_index(op.f("ix_node_images_image_id"), "node_images", ["image_id"], unique=False)

    op.create_table(
        "one_time_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credentials.id"], name=op.f("fk_one_time_links_credential_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_links")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_one_time_links_token_digest")),
    )
    op.create_index(op.f("ix_one_time_links_credential_id"), "one_time_links", ["credential_id"], unique=False)

    op.create_table(
        "platforms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("operation_mode", sa.String(length=20), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "operation_mode IN ('editable', 'cooking', 'final')", name=op.f("ck_platforms_operation_mode")
        ),
        sa.CheckConstraint("type IN ('dev', 'staging', 'prod')", name=op.f("ck_platforms_type")),
        sa.ForeignKeyConstraint(["node_id"], ["compute_nodes.id"], name=op.f("fk_platforms_node_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name=op.f("fk_platforms_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platforms")),
        sa.UniqueConstraint("id", "node_id", name=op.f("uq_platforms_id_node_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_platforms_uuid")),
    )
    op.create_index(op.f("ix_platforms_node_id"), "platforms", ["node_id"], unique=False)
    op.create_index(op.f("ix_platforms_owner_id"), "platforms", ["owner_id"], unique=False)

    op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.CheckConstraint("name IN ('sysadmin', 'owner', 'developer', 'reader')", name=op.f("ck_roles_name")),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name=op.f("fk_roles_owner_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_roles_project_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("owner_id", "project_id", "name", name=op.f("uq_roles_owner_id_project_id_name")),
    )
    op.create_index(op.f("ix_roles_project_id"), "roles", ["project_id"], unique=False)
    op.create_index(
        op.f("uq_roles_everywhere"),
        "roles",
        ["owner_id", "name"],
        unique=True,
        sqlite_where=sa.text("project_id IS NULL"),
        postgresql_where=sa.text("project_id IS NULL"),
    )

    op.create_table(
        "steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("operation_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'running', 'done', 'skipped', 'undoing', 'undone', 'failed')",
            name=op.f("ck_steps_state"),
        ),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operations.id"], name=op.f("fk_steps_operation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_steps")),
        sa.UniqueConstraint("operation_id", "position", name=op.f("uq_steps_operation_id_position")),
    )
    op.create_table(
        "guests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("minion_id", sa.String(length=253), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("platform_id", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=15), nullable=True),
        sa.Column("address6", sa.String(length=39), nullable=True),
        sa.Column("ssh_port", sa.Integer(), nullable=True),
        sa.Column("http_port", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("cpus", sa.Double(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("name = lower(name) AND name <> ''", name=op.f("ck_guests_name")),
        sa.CheckConstraint(
            "state IN ('creating', 'running', 'stopped', 'moving', 'deleting', 'failed')", name=op.f("ck_guests_state")
        ),
        sa.CheckConstraint("http_port BETWEEN 1 AND 65535", name=op.f("ck_guests_http_port")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_guests_size_bytes")),
        sa.CheckConstraint("ssh_port BETWEEN 1 AND 65535", name=op.f("ck_guests_ssh_port")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_guests_image_id")),
        sa.ForeignKeyConstraint(["node_id"], ["compute_nodes.id"], name=op.f("fk_guests_node_id")),
        sa.ForeignKeyConstraint(
            ["platform_id", "node_id"],
            ["platforms.id", "platforms.node_id"],
            name=op.f("fk_guests_platform_id_node_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guests")),
        sa.UniqueConstraint("minion_id", name=op.f("uq_guests_minion_id")),
        sa.UniqueConstraint("name", name=op.f("uq_guests_name")),
        sa.UniqueConstraint("node_id", "address", name=op.f("uq_guests_node_id_address")),
        sa.UniqueConstraint("node_id", "address6", name=op.f("uq_guests_node_id_address6")),
        sa.UniqueConstraint("node_id", "ssh_port", name=op.f("uq_guests_node_id_ssh_port")),
        sa.UniqueConstraint("uuid", name=op.f("uq_guests_uuid")),
    )
    op.create_index(op.f("ix_guests_image_id"), "guests", ["image_id"], unique=False)
    op.create_index(op.f("ix_guests_platform_id"), "guests", ["platform_id"], unique=False)
    op.create_index(op.f("ix_guests_state"), "guests", ["state"], unique=False)

    op.create_table(
        "deployments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=True),
        sa.Column("guest_name", sa.String(length=63), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("deployment_id", sa.String(length=100), nullable=False),
        sa.Column("result", sa.Boolean(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=True),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_deployments_guest_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_deployments_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint(
            "guest_name", "project_id", "deployment_id", name=op.f("uq_deployments_guest_name_project_id_deployment_id")
        ),
    )
    op.create_index(op.f("ix_deployments_guest_id"), "deployments", ["guest_id"], unique=False)
    op.create_index(op.f("ix_deployments_project_id_started"), "deployments", ["project_id", "started"], unique=False)

    op.create_table(
        "dns_names",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fqdn", sa.String(length=253), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=True),
        sa.Column("guest_id", sa.Integer(), nullable=True),
        sa.Column("target_values", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("ttl", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("fqdn = lower(fqdn) AND fqdn <> ''", name=op.f("ck_dns_names_fqdn")),
        sa.CheckConstraint(
            "kind IN ('address', 'A', 'AAAA', 'CNAME', 'TXT', 'SRV', 'MX', 'CAA', 'NS', 'PTR')",
            name=op.f("ck_dns_names_kind"),
        ),
        sa.CheckConstraint(
            "(CASE WHEN node_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN guest_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN target_values IS NULL THEN 0 ELSE 1 END) = 1",
            name=op.f("ck_dns_names_target"),
        ),
        sa.CheckConstraint("ttl > 0", name=op.f("ck_dns_names_ttl")),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_dns_names_guest_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["node_id"], ["compute_nodes.id"], name=op.f("fk_dns_names_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dns_names")),
        sa.UniqueConstraint("fqdn", "kind", name=op.f("uq_dns_names_fqdn_kind")),
    )
    op.create_index(op.f("ix_dns_names_guest_id"), "dns_names", ["guest_id"], unique=False)
    op.create_index(op.f("ix_dns_names_node_id"), "dns_names", ["node_id"], unique=False)

    op.create_table(
        "placements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_placements_guest_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_placements_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placements")),
        sa.UniqueConstraint("project_id", "guest_id", name=op.f("uq_placements_project_id_guest_id")),
    )
    op.create_index(op.f("ix_placements_guest_id"), "placements", ["guest_id"], unique=False)

    op.create_table(
        "reservations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=39), nullable=False),
        sa.CheckConstraint("kind IN ('address', 'address6', 'ssh_port')", name=op.f("ck_reservations_kind")),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_reservations_guest_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["node_id"], ["compute_nodes.id"], name=op.f("fk_reservations_node_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
        sa.UniqueConstraint("node_id", "kind", "value", name=op.f("uq_reservations_node_id_kind_value")),
    )
    op.create_index(op.f("ix_reservations_guest_id"), "reservations", ["guest_id"], unique=False)

    op.create_table(
        "ssh_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=100), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("node_id", sa.Integer(), nullable=True),
        sa.Column("guest_id", sa.Integer(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("node_id IS NULL OR guest_id IS NULL", name=op.f("ck_ssh_keys_place")),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_ssh_keys_guest_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["node_id"], ["compute_nodes.id"], name=op.f("fk_ssh_keys_node_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name=op.f("fk_ssh_keys_owner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ssh_keys")),
        sa.UniqueConstraint("guest_id", "fingerprint", name=op.f("uq_ssh_keys_guest_id_fingerprint")),
        sa.UniqueConstraint("node_id", "fingerprint", name=op.f("uq_ssh_keys_node_id_fingerprint")),
    )
    op.create_index(op.f("ix_ssh_keys_owner_id"), "ssh_keys", ["owner_id"], unique=False)

    op.create_table(
        "volumes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("guest_id", sa.Integer(), nullable=True),
        sa.Column("driver", sa.String(length=20), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("mountpoint", sa.String(length=255), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_volumes_size_bytes")),
        sa.ForeignKeyConstraint(["guest_id"], ["guests.id"], name=op.f("fk_volumes_guest_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["node_id"], ["compute_nodes.id"], name=op.f("fk_volumes_node_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volumes")),
        sa.UniqueConstraint("guest_id", "mountpoint", name=op.f("uq_volumes_guest_id_mountpoint")),
        sa.UniqueConstraint("node_id", "name", name=op.f("uq_volumes_node_id_name")),
    )
    for table in ("compute_nodes", "guests"):
        _keep_minion_ids(table)


def _keep_minion_ids(table: str) -> None:
    """Let triggers write the table's minion ids where they meet those of the other."""
    changes = {
        "INSERT": "INSERT INTO minion_ids (minion_id) VALUES (NEW.minion_id);",
        "UPDATE": "UPDATE minion_ids SET minion_id = NEW.minion_id WHERE minion_id = OLD.minion_id;",
        "DELETE": "DELETE FROM minion_ids WHERE minion_id = OLD.minion_id;",
    }
    postgresql = op.get_bind().dialect.name == "postgresql"
    for event, change in changes.items():
        name = f"{table}_minion_id_{event.lower()}"
        when = f"AFTER {event} {'OF minion_id ' if event == 'UPDATE' else ''}ON {table} FOR EACH ROW"
        if postgresql:
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change} RETURN NULL; END $$"
            )
            op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")
        else:
            op.execute(f"CREATE TRIGGER {name} {when} BEGIN {change} END")
