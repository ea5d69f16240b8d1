"""What a minion is told: its own, all of it, or an error."""

import json
import re
from pathlib import Path

import pytest
from corpus.controller import pillar
from corpus.controller.registry.models import ComputeNode, Guest
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError, RegistryError
from sqlalchemy import event, text, update

from tests.unit.controller import tenants

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a random one may have "ada" in it


@pytest.fixture
def cloud(registry: Registry) -> Registry:
    tenants.fill(registry)
    return registry


def test_a_guest_is_told_what_it_is(cloud: Registry) -> None:
    told = pillar.of(cloud, "ada1.corpus.test")["corpus"]
    assert told == {
        "kind": "guest",
        "uuid": told["uuid"],
        "name": "ada1",
        "type": "lxc",
        "image": "debian-1",
        "node": {"name": "n1.corpus.test", "address": "192.0.2.1", "address6": "2001:db8::1"},
        "network": {
            "address": "10.64.1.2/24",
            "address6": "fd00:64:1::2/64",
            "gateway": "10.64.1.1",
            "gateway6": "fd00:64:1::1",
            "ssh_port": 40002,
            "http_port": 80,
        },
        "platform": {
            "uuid": told["platform"]["uuid"],
            "type": "prod",
            "operation_mode": "final",
            "owner": "ada",
        },
        "names": ["ada1.corpus.test"],
        "keys": [{"name": "ada", "public": "ssh-ed25519 ada"}],
        "projects": ["ada-shop-1"],
        "credentials": {"root": "secret of ada1"},
        "settings": {"default_env": "ada's", "both": 2, "word": "ada's 1"},
    }
    json.dumps(told)


def test_a_node_is_told_of_its_guests_and_their_traffic(cloud: Registry) -> None:
    told = pillar.of(cloud, "n2.corpus.test")["corpus"]
    assert (told["kind"], told["images"], told["names"]) == ("compute_node", ["debian-1"], ["*.n2.corpus.test"])
    assert told["credentials"] == {"root": "secret of n2"}
    assert told["settings"] == {"firewall": ["rule of n2"]}
    assert told["traffic"]["network6"] == "fd00:64:2::/64"
    assert [guest["name"] for guest in told["traffic"]["guests"]] == ["ada2", "bob2"]
    assert told["traffic"]["guests"][1] == {
        "name": "bob2",
        "address": "10.64.2.3",
        "address6": "fd00:64:2::3",
        "ssh_port": 40003,
        "http_port": 80,
        "names": ["bob2.corpus.test"],
        "owner": "bob",
    }
    with cloud.session() as session:
        session.execute(update(Guest).where(Guest.name == "bob2").values(state="deleting"))
    assert [guest["name"] for guest in pillar.of(cloud, "n2.corpus.test")["corpus"]["traffic"]["guests"]] == ["ada2"]
    json.dumps(told)


def test_nobody_is_told_of_others(cloud: Registry) -> None:
    """Every text of the small cloud names whose it is, so that a leak is seen wherever it is."""
    for number in (1, 2):
        for mine, other in (tenants.TENANTS, tenants.TENANTS[::-1]):
            told = _UUID.sub("", json.dumps(pillar.of(cloud, f"{mine}{number}.corpus.test")))
            assert f"secret of {mine}{number}" in told
            for foreign in (other, f"secret of n{number}", f"rule of n{number}", f"{mine}{3 - number}"):
                assert foreign not in told
        told = _UUID.sub("", json.dumps(pillar.of(cloud, f"n{number}.corpus.test")))
        for foreign in ("secret of ada", "secret of bob", "ssh-ed25519 ada", f"n{3 - number}", "ada's", "-shop-"):
            assert foreign not in told


@pytest.mark.parametrize(
    "name",
    [
        "mastersalt.corpus.test",
        "",
        "*",
        "%",
        "ada_.corpus.test",
        "ada%",
        "ADA1.corpus.test",
        "ada1.corpus.test.",
        "ada1.corpus.test\n",
        " ada1.corpus.test",
        "ada1",
        "x' OR '1'='1",
        'x" OR ""="',
        "ada1.corpus.test' --",
        "x'; DELETE FROM guests; --",
        "x') UNION SELECT * FROM credentials --",
        "аda1.corpus.test",  # noqa: RUF001 - the first letter is Cyrillic
        "ada1.corpus.test,bob1.corpus.test",
        "../ada1.corpus.test",
        "x" * 10_000,
    ],
)
def test_who_is_nobody_is_told_nothing(cloud: Registry, name: str) -> None:
    assert pillar.of(cloud, name) == {}
    assert pillar.of(cloud, "bob1.corpus.test")["corpus"]["name"] == "bob1"


def test_an_id_that_two_have_is_told_nothing(cloud: Registry) -> None:
    """A guest that took its node's id would get the node's credentials."""
    with cloud.session() as session:
        tenants.let_ids_collide(session)
        session.execute(update(Guest).where(Guest.name == "bob1").values(minion_id="n1.corpus.test"))
    with pytest.raises(RegistryError, match="nobody gets a pillar"):
        pillar.of(cloud, "n1.corpus.test")


def test_a_registry_that_fails_raises(cloud: Registry, tmp_path: Path) -> None:
    for minion in ("ada1.corpus.test", "nobody"):
        with cloud.session() as session:
            session.execute(text("ALTER TABLE guests RENAME TO gone"))
        with pytest.raises(RegistryError):
            pillar.of(cloud, minion)
        with cloud.session() as session:
            session.execute(text("ALTER TABLE gone RENAME TO guests"))
    cloud.key_file.unlink()
    with pytest.raises(CorpusError, match="has no key that reads"):
        pillar.of(cloud, "ada1.corpus.test")
    for url in (
        f"sqlite:///{tmp_path}/none/r.sqlite3",
        f"sqlite:///{tmp_path}/empty",
        "postgresql://u:p@127.0.0.1:1/x",
    ):
        with pytest.raises(RegistryError):
            pillar.of(Registry(url, tmp_path / "key"), "nobody")


def test_a_minion_costs_the_same_number_of_queries_whatever_else_there_is(cloud: Registry) -> None:
    def queries(minion: str) -> int:
        asked: list[str] = []

        def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(cloud.engine, "before_cursor_execute", count)
        pillar.of(cloud, minion)
        event.remove(cloud.engine, "before_cursor_execute", count)
        return len([statement for statement in asked if statement.startswith("SELECT")])

    pillar.of(cloud, "ada1.corpus.test")
    before = queries("ada1.corpus.test"), queries("n1.corpus.test")
    assert max(before) <= 9
    with cloud.session() as session:
        node = session.query(ComputeNode).filter_by(name="n1.corpus.test").one()
        for number in range(100):
            session.add(Guest(name=f"x{number}", minion_id=f"x{number}", node=node, address=f"10.64.1.{100 + number}"))
    assert (queries("ada1.corpus.test"), queries("n1.corpus.test")) == before


def test_every_query_goes_by_an_index(cloud: Registry) -> None:
    """SQLite tells how it would look; nothing of a minion's may be found by looking at everything."""
    if cloud.engine.dialect.name != "sqlite":
        return
    asked: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(cloud.engine, "before_cursor_execute", note)
    pillar.of(cloud, "ada1.corpus.test")
    pillar.of(cloud, "n1.corpus.test")
    event.remove(cloud.engine, "before_cursor_execute", note)
    with cloud.engine.connect() as connection:
        for statement, parameters in asked:
            if statement.startswith("SELECT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                assert not [row for row in plan if row[-1].startswith("SCAN ")], (statement, plan)
