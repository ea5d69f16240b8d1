"""Databases of a project: made on real servers, reached by the application, dumped, dropped; credentials stay secret."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.machine import Machine, page, run
from tests.servers import mariadb, postgresql

#: what a project of each kind deploys: PHP has all three drivers
PAGE = """<?php
$url = parse_url(getenv('DATABASE_URL'));
$name = trim($url['path'], '/');
$db = match ($url['scheme']) {
    'postgresql' => new PDO("pgsql:host={$url['host']};port={$url['port']};dbname=$name", $url['user'], $url['pass']),
    'mysql' => new PDO("mysql:host={$url['host']};port={$url['port']};dbname=$name", $url['user'], $url['pass']),
};
$db->exec('CREATE TABLE IF NOT EXISTS visits (n INT)');
$db->exec('INSERT INTO visits VALUES (1)');
echo $url['scheme'], ' ', $db->query('SELECT count(*) FROM visits')->fetchColumn();
"""


@pytest.fixture(scope="module")
def admins() -> Iterator[dict[str, str]]:
    with postgresql() as pg, mariadb() as my:
        yield {"postgresql": pg, "mysql": my}


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_database_from_push_to_destruction(machine: Machine, admins: dict[str, str], kind: str) -> None:
    name = f"with-{kind}"
    wish = {"type": kind, "admin": admins[kind], **({"extensions": ["pg_trgm"]} if kind == "postgresql" else {})}
    port = machine.init(name, installer="php", databases=[wish])["http_port"]
    tree = machine.work_tree(name, {"index.php": PAGE})
    first = tree.push()
    assert first.status == 0, first.said
    assert f"{kind} database with_{kind} made" in first.said, [
        row for row in first.said.splitlines() if "configure" in row
    ]
    assert page(port)[1].startswith(kind)

    env = machine.ok("mc_project.get_configuration", name, unmask=True)["env"]
    password = urlsplit(env["DATABASE_URL"]).password
    assert password
    written = [path for path in machine.project(name).rglob("*") if path.is_file() and not path.is_symlink()]
    telling = {path for path in written if password.encode() in path.read_bytes()}
    assert all(".corpus/processes" in str(path) for path in telling), telling  # 0600, what supervisord starts from
    assert password not in first.said
    assert password not in json.dumps(machine.ok("mc_project.get_configuration", name))

    tree.commit({"more.txt": "more"})
    second = tree.push()
    assert second.status == 0, second.said
    assert "made" not in second.said.split("configure")[1].splitlines()[0]
    (dump,) = machine.project(name).glob("archives/*/databases/*.dump")
    assert dump.stat().st_mode & 0o777 == 0o600
    assert (b"PGDMP" if kind == "postgresql" else b"CREATE TABLE `visits`") in dump.read_bytes()

    other = f"other-{kind}"
    machine.init(other, installer="php", databases=[{**wish, "name": f"with_{kind}"}])
    refused = machine.work_tree(other, {"index.php": PAGE}).push()
    assert refused.status != 0
    assert "already, and this project did not make it" in refused.said

    gone = machine.ok("mc_project.destroy_project", name, confirm=name)
    assert list(Path(f"{gone['archive']}.databases").glob("*.dump"))
    machine.init(name, installer="php", databases=[wish])
    again = machine.work_tree(f"{name}-again", {"index.php": PAGE})
    pushed = again.git("push", str(machine.project(name) / "git/project.git"), "HEAD:main", check=False)
    assert f"{kind} database with_{kind} made" in pushed.said  # dropped, and made anew
    machine.ok("mc_project.destroy_project", name, confirm=name)


def test_sqlite_is_a_file_in_data(machine: Machine) -> None:
    machine.init("lite", installer="generic", databases=["sqlite"], document_root="public")
    tree = machine.work_tree("lite", {"public/index.html": "x"})
    assert tree.push().status == 0
    path = machine.project("lite") / "data/lite.sqlite3"
    assert machine.ok("mc_project.get_configuration", "lite", unmask=True)["env"]["DATABASE_URL"] == f"sqlite:///{path}"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE kept (n INT)")
    tree.commit({"public/index.html": "y"})
    assert tree.push().status == 0
    (dump,) = machine.project("lite").glob("archives/*/databases/sqlite-lite.dump")
    assert "kept" in run(["sqlite3", str(dump), ".tables"]).output


def test_what_cannot_be_a_database(machine: Machine) -> None:
    machine.init("wrong", installer="generic", document_root="public")
    tree = machine.work_tree("wrong", {"public/index.html": "x"})
    for wish, words in (
        ({"type": "oracle"}, "type is one of"),
        ({"type": "postgresql", "name": 'x"; DROP'}, "name cannot be"),
        ({"type": "mysql", "user": "a'b"}, "user cannot be"),
        ({"type": "postgresql", "admin": "mysql://x"}, "admin is a url"),
        ({"type": "postgresql", "admin": "postgresql:///?host=/nowhere"}, "PostgreSQL refuses"),
    ):
        machine.ok("mc_project.set_configuration", "wrong", databases=[wish])
        tree.commit()
        refused = tree.push()
        assert refused.status != 0
        assert words in refused.said, refused.said
        assert "Traceback" not in refused.said


def test_a_server_that_cannot_be_reached(machine: Machine) -> None:
    """Nothing is touched: no deployment, no destruction; what runs and a rollback do without it, when the application does."""
    name = "stranded"
    with postgresql() as admin:
        port = machine.init(
            name, installer="generic", document_root="public", databases=[{"type": "postgresql", "admin": admin}]
        )["http_port"]
        tree = machine.work_tree(name, {"public/index.html": "first"})
        assert tree.push().status == 0
        tree.commit({"public/index.html": "second"})
        assert tree.push().status == 0
    tree.commit({"public/index.html": "third"})
    refused = tree.push()
    assert refused.status != 0
    assert "Stage archive failed: " in refused.said, refused.said
    assert "Traceback" not in refused.said
    assert machine.page(port) == (200, "second")

    assert machine.ok("mc_project.rollback", name)["result"] is True
    assert machine.page(port) == (200, "first")

    words = machine.refused("mc_project.destroy_project", name, confirm=name)
    assert "PostgreSQL refuses: " in words
    assert "Nothing was removed" in words
    assert machine.page(port) == (200, "first")
    gone = machine.ok("mc_project.destroy_project", name, confirm=name, keep_databases=True)
    assert Path(gone["archive"]).exists()
    assert not Path(f"{gone['archive']}.databases").exists()
    assert not machine.project(name).exists()
