"""The registry as a file: everything comes back, between databases too, and nothing secret is in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus.controller.credentials import Credentials
from corpus.controller.registry import exchange
from corpus.controller.registry.models import Base, Credential, Guest, Owner, Project
from corpus.controller.registry.store import Registry
from corpus.errors import Conflict, CorpusError, UsageError
from sqlalchemy import func, select

from tests.registries import Databases, registry_at
from tests.unit.controller import tenants

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def cloud(registry: Registry) -> Registry:
    tenants.fill(registry)
    return registry


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path, postgres: Databases) -> Iterator[Registry]:
    """Another registry, empty, with a key of its own."""
    (tmp_path / "other").mkdir()
    with registry_at(
        tmp_path / "other", postgres.new(upgraded=True) if request.param == "postgresql" else None
    ) as made:
        yield made


def _rows(registry: Registry) -> dict[str, list[Any]]:
    """Everything but secrets, whose encryption differs each time."""
    with registry.reading() as session:
        return {
            table.name: [
                tuple(row)
                for row in session.execute(
                    select(
                        *[column for column in table.columns if table.name != "credentials" or column.name != "value"]
                    )
                    .select_from(table)
                    .order_by(*table.primary_key.columns)
                )
            ]
            for table in Base.metadata.sorted_tables
            if table.name not in ("turns", "one_time_links")
        }


def _root_of(registry: Registry, name: str) -> str:
    with registry.reading() as session:
        uuid = session.scalars(select(Guest.uuid).where(Guest.name == name)).one()
        return Credentials.of(registry).read(session, f"guest:{uuid}", "root")


def test_everything_comes_back(cloud: Registry, other: Registry, tmp_path: Path) -> None:
    counts = exchange.export(cloud, tmp_path / "all.yaml", PASSPHRASE)
    assert (counts["guests"], counts["compute_nodes"], counts["steps"]) == (4, 2, 1)
    assert exchange.import_(other, tmp_path / "all.yaml", PASSPHRASE) == counts
    assert _rows(other) == _rows(cloud)
    assert _root_of(other, "bob2") == "secret of bob2"
    with other.session() as session:  # new rows come after the old ones
        session.add_all([Owner(name="carol"), Project(name="new")])


def test_nothing_secret_stands_in_the_file(cloud: Registry, tmp_path: Path) -> None:
    for passphrase in (None, PASSPHRASE):
        exchange.export(cloud, tmp_path / "all.yaml", passphrase)
        text = (tmp_path / "all.yaml").read_text()
        assert "secret" not in text.replace("secrets:", "")
        assert PASSPHRASE not in text
        assert (tmp_path / "all.yaml").stat().st_mode & 0o777 == 0o600
        content = yaml.safe_load(text)
        assert content["operations"][0]["arguments"]["name"] == "ada1"
        assert content["operations"][0]["arguments"]["password"].startswith("encrypted:")
        assert "one_time_links" not in content


def test_secrets_that_keep_the_registrys_key_need_that_key(cloud: Registry, other: Registry, tmp_path: Path) -> None:
    exchange.export(cloud, tmp_path / "all.yaml")
    with pytest.raises(CorpusError, match="encrypted with another registry's key"):
        exchange.import_(other, tmp_path / "all.yaml")
    assert not any(_rows(other).values())
    other.key_file.write_bytes(cloud.key_file.read_bytes())
    exchange.import_(other, tmp_path / "all.yaml")
    assert _root_of(other, "ada1") == "secret of ada1"


def test_what_is_there_is_replaced_only_when_that_was_said(cloud: Registry, tmp_path: Path) -> None:
    exchange.export(cloud, tmp_path / "all.yaml")
    before = _rows(cloud)
    with pytest.raises(UsageError, match="The registry is not empty"):
        exchange.import_(cloud, tmp_path / "all.yaml")
    with cloud.session() as session:
        session.add(Owner(name="carol"))
    exchange.import_(cloud, tmp_path / "all.yaml", replace=True)
    assert _rows(cloud) == before


def test_a_file_that_is_wrong_changes_nothing(cloud: Registry, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    exchange.export(cloud, path, PASSPHRASE)
    good = yaml.safe_load(path.read_text())
    before = _rows(cloud)

    def changed(**tables: Any) -> str:
        return yaml.safe_dump({**good, **tables})

    guest = good["guests"][0]
    for text, passphrase, words in (
        ("{", PASSPHRASE, "is not YAML"),
        ("a: b", PASSPHRASE, "no exported registry"),
        ("- !!python/object/apply:os.system ['true']", PASSPHRASE, "is not YAML"),
        (path.read_text(), None, "give it"),
        (path.read_text(), "another passphrase", "passphrase is not the one"),
        (changed(registry={**good["registry"], "revision": "0000"}), PASSPHRASE, "is of revision 0000"),
        (changed(registry={**good["registry"], "secrets": {"passphrase": {}}}), PASSPHRASE, "it is damaged"),
        (changed(elephants=[]), PASSPHRASE, "there is no table 'elephants'"),
        (changed(guests=[{**guest, "color": "red"}]), PASSPHRASE, "no mapping of its columns"),
        (changed(guests=[{**guest, "name": "../x"}]), PASSPHRASE, "cannot name a machine"),
        (changed(guests=[guest, {**guest, "id": 99}]), PASSPHRASE, "The registry refuses"),
        (changed(guests=[{**guest, "node_id": 99, "platform_id": None}]), PASSPHRASE, "The registry refuses"),
        (changed(guests=[{**guest, "created": "yesterday"}]), PASSPHRASE, "'yesterday' is no time"),
    ):
        (tmp_path / "wrong.yaml").write_text(text)
        with pytest.raises((UsageError, Conflict, CorpusError), match=words):
            exchange.import_(cloud, tmp_path / "wrong.yaml", passphrase, replace=True)
        assert _rows(cloud) == before
    with pytest.raises(UsageError, match="too short"):
        exchange.export(cloud, path, "short")
    with pytest.raises(UsageError, match="no absolute path"):
        exchange.export(cloud, Path("all.yaml"))
    with pytest.raises(CorpusError, match="cannot be written"):
        exchange.export(cloud, tmp_path / "none/all.yaml")


def test_a_value_that_only_looks_encrypted_comes_back(cloud: Registry, other: Registry, tmp_path: Path) -> None:
    with cloud.session() as session:
        session.scalars(select(Guest).where(Guest.name == "ada1")).one().settings = {
            "word": "encrypted:nothing",
            "password": {"deep": ["x", 1, None]},
        }
    exchange.export(cloud, tmp_path / "all.yaml", PASSPHRASE)
    exchange.import_(other, tmp_path / "all.yaml", PASSPHRASE)
    with other.reading() as session:
        assert session.scalars(select(Guest.settings).where(Guest.name == "ada1")).one() == {
            "word": "encrypted:nothing",
            "password": {"deep": ["x", 1, None]},
        }
        assert session.scalar(select(func.count()).select_from(Credential)) == 6
