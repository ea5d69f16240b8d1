"""Upgrades of a registry that is in use: what is there stays, and one that fails changes nothing."""

import shutil
from pathlib import Path

import pytest
from corpus.controller.registry import migrations
from corpus.controller.registry.models import DnsName, Guest, SshKey
from corpus.controller.registry.store import Registry
from corpus.errors import Conflict, RegistryError
from sqlalchemy import func, inspect, select, text

from tests.unit.controller import tenants

NEXT = '''"""Give guests a color."""

import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{head}"


def upgrade() -> None:
    """Give guests a color."""
    with op.batch_alter_table("guests", recreate="{recreate}") as guests:
        guests.add_column(sa.Column("color", sa.String(10), nullable=False, server_default="grey"))
    {more}
'''


@pytest.fixture
def cloud(registry: Registry) -> Registry:
    tenants.fill(registry)
    return registry


def _coming(folder: Path, patch: pytest.MonkeyPatch, more: str = "", recreate: str = "auto") -> str:
    """Let corpus have one more migration; return its revision."""
    copy = Path(shutil.copytree(Path(migrations.__file__).parent, folder / "migrations"))
    revision = f"{int(migrations.HEAD) + 1:04d}"
    script = NEXT.format(next=revision, head=migrations.HEAD, more=more, recreate=recreate)
    (copy / f"versions/r{revision}_color.py").write_text(script)
    patch.setattr(migrations, "__file__", str(copy / "__init__.py"))
    patch.setattr(migrations, "HEAD", revision)
    return revision


def _opened_anew(registry: Registry) -> Registry:
    return Registry(registry.url.render_as_string(hide_password=False), registry.key_file)


def _counts(registry: Registry) -> list[int | None]:
    with registry.reading() as session:
        return [session.scalar(select(func.count()).select_from(kind)) for kind in (Guest, DnsName, SshKey)]


@pytest.mark.parametrize("recreate", ["auto", "always"])
def test_what_is_there_stays(cloud: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recreate: str) -> None:
    """Also where the table is copied and the old one dropped: that must not take what refers to its rows with it."""
    before = _counts(cloud)
    assert before == [4, 6, 6]
    revision = _coming(tmp_path, monkeypatch, recreate="auto" if cloud.engine.dialect.name != "sqlite" else recreate)
    opened = _opened_anew(cloud)
    with pytest.raises(RegistryError, match=f"is of revision .*, and this corpus needs {revision}: run"):
        _counts(opened)
    assert opened.upgrade()
    assert not opened.upgrade()
    assert _counts(opened) == before
    with opened.session() as session:
        assert set(session.scalars(text("SELECT color FROM guests"))) == {"grey"}
    with pytest.raises(Conflict), opened.session() as session:  # keys are looked at again
        session.execute(text("DELETE FROM compute_nodes"))
    opened.close()


def test_an_upgrade_that_fails_changes_nothing(
    cloud: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, head = _counts(cloud), migrations.HEAD
    _coming(tmp_path, monkeypatch, more='op.execute("INSERT INTO nowhere VALUES (1)")')
    opened = _opened_anew(cloud)
    with pytest.raises(RegistryError, match="nowhere"):
        opened.upgrade()
    assert opened.revision() == head
    assert "color" not in [column["name"] for column in inspect(opened.engine).get_columns("guests")]
    opened.close()
    monkeypatch.undo()
    assert _counts(cloud) == before
    with pytest.raises(Conflict), cloud.session() as session:
        session.execute(text("DELETE FROM compute_nodes"))
