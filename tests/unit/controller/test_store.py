"""Opening the registry: sessions, forks, files, and what it says when it cannot."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from corpus.controller.registry import migrations, models
from corpus.controller.registry.models import Base, Owner
from corpus.controller.registry.store import Registry, alembic_configuration
from corpus.errors import Conflict, RegistryError, UsageError
from sqlalchemy import CheckConstraint, inspect, select, text

from tests.registries import Databases


def _names(registry: Registry) -> list[str]:
    with registry.reading() as session:
        return list(session.scalars(select(Owner.name).order_by(Owner.name)))


def test_a_session_commits_or_rolls_back(registry: Registry) -> None:
    with registry.session() as session:
        ada = Owner(name="ada")
        session.add(ada)
    assert ada.id  # readable afterwards
    with pytest.raises(Conflict), registry.session() as session:
        session.add_all([Owner(name="bob"), Owner(name="ada")])
    assert _names(registry) == ["ada"]


def test_a_reader_changes_nothing_and_waits_for_nobody(registry: Registry) -> None:
    with registry.session() as session:
        session.add(Owner(name="ada"))
        session.flush()
        assert _names(registry) == []
    with registry.reading() as session:
        session.add(Owner(name="bob"))
    assert _names(registry) == ["ada"]


def test_a_reader_sees_one_moment(registry: Registry) -> None:
    with registry.session() as session:
        session.add(Owner(name="ada"))
    with registry.reading() as reading:
        assert len(reading.scalars(select(Owner.name)).all()) == 1
        with registry.session() as session:
            session.add(Owner(name="bob"))
        assert len(reading.scalars(select(Owner.name)).all()) == 1
    assert len(_names(registry)) == 2


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO owners (name, created) VALUES ('ada', '2026-01-01')", "owners has one with this name already"),
        (
            "INSERT INTO credentials VALUES (1, 's', 'n', 'x', {t}, {t}), (2, 's', 'n', 'x', {t}, {t})",
            "credentials has one with this subject and name already",
        ),
        ("INSERT INTO owners (name, created) VALUES ('Bob', '2026-01-01')", "the value cannot be (owners_name)"),
        ("INSERT INTO owners (name) VALUES ('bob')", "owners needs created"),
        (
            "INSERT INTO roles (owner_id, name) VALUES (99, 'viewer')",
            "something that it refers to is not there, or something still refers to it",
        ),
        ("INSERT INTO minion_ids (minion_id) VALUES ('a'), ('a')", "the minion id is taken"),
    ],
)
def test_a_refusal_says_the_same_whatever_the_database(registry: Registry, statement: str, words: str) -> None:
    with registry.session() as session:
        session.add(Owner(name="ada"))
    with pytest.raises(Conflict) as refused, registry.session() as session:
        session.execute(text(statement.replace("{t}", "'2026-01-01'")))
    assert str(refused.value) == f"The registry refuses: {words}."


def test_a_session_inside_a_session_is_refused(registry: Registry) -> None:
    with registry.session(), pytest.raises(RegistryError, match="open in this thread already"), registry.session():
        pass
    with registry.session():
        pass


def test_writers_take_turns(registry: Registry) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with registry.session() as session:
                session.scalars(select(Owner)).all()  # to begin by reading is what SQLite would not forgive
                session.add(Owner(name=f"{number}-{turn}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_names(registry)) == 40


def test_a_fork_gets_connections_of_its_own(registry: Registry) -> None:
    with registry.session() as session:
        session.add(Owner(name="parent"))
    child = os.fork()
    if child == 0:
        try:
            with registry.session() as session:
                session.add(Owner(name="child"))
            registry.close()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert _names(registry) == ["child", "parent"]


def test_sqlite_is_private_durable_and_holds_foreign_keys(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/r.sqlite3", tmp_path / "key")
    registry.upgrade()
    with registry.session() as session:
        session.add(Owner(name="ada"))
        pragmas = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")]
        assert pragmas == ["wal", 1, 2]
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("r.sqlite3*")} == {0o600}
    registry.close()


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    key = tmp_path / "key"
    for url in ("nonsense", "mysql://root@localhost/x", "sqlite://", "sqlite:///relative.sqlite3"):
        with pytest.raises(UsageError):
            Registry(url, key)
    with (
        pytest.raises(RegistryError, match="cannot be made: No such file"),
        Registry(f"sqlite:///{tmp_path}/none/r.sqlite3", key).session(),
    ):
        pass
    (tmp_path / "text").write_text("no database at all, but some text that is longer than a header of SQLite has " * 20)
    with pytest.raises(RegistryError, match="not a database"):
        Registry(f"sqlite:///{tmp_path}/text", key).upgrade()
    unreachable = Registry("postgresql://corpus:s3cret@127.0.0.1:1/none", key)
    assert "s3cret" not in repr(unreachable)
    with pytest.raises(RegistryError) as failed, unreachable.session() as session:
        session.scalar(select(1))
    assert "s3cret" not in str(failed.value)


def test_migrations_make_what_the_models_say(registry: Registry) -> None:
    with registry.engine.connect() as connection:
        known = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(known, Base.metadata) == []
        script = ScriptDirectory.from_config(alembic_configuration(connection))
        assert script.get_heads() == [migrations.HEAD]
        # what Alembic does not compare: constraints that check, and what a key does when its target goes
        made, said = inspect(connection), Base.metadata.tables
        for name, table in said.items():
            checks = {part.name for part in table.constraints if isinstance(part, CheckConstraint)}
            assert {found["name"] for found in made.get_check_constraints(name)} == checks
            rules = {(*part.column_keys, part.ondelete) for part in table.foreign_key_constraints}
            found = made.get_foreign_keys(name)
            assert {(*key["constrained_columns"], key["options"].get("ondelete")) for key in found} == rules


def test_the_audit_can_be_written_and_read_but_not_changed(registry: Registry) -> None:
    with registry.session() as session:
        session.add(models.Audit(who="ada", action="guest.create", status=202))
    for change in ("UPDATE audit SET who = 'bob'", "DELETE FROM audit"):
        with pytest.raises(RegistryError, match="append-only"), registry.session() as session:
            session.execute(text(change))
    with registry.reading() as session:
        assert session.scalars(select(models.Audit.who)).all() == ["ada"]


def test_an_upgrade_is_done_once_by_however_many_ask(tmp_path: Path, postgres: Databases) -> None:
    for url in (f"sqlite:///{tmp_path}/r.sqlite3", postgres.new()):
        registries = [Registry(url, tmp_path / "key") for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            changed = list(threads.map(Registry.upgrade, registries))
        assert sorted(changed) == [False, False, False, True]
        for one in registries:
            one.close()


def test_a_registry_of_another_corpus_is_not_touched(registry: Registry) -> None:
    with registry.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    other = Registry(registry.url.render_as_string(hide_password=False), registry.key_file)
    for touch in (other.upgrade, lambda: _names(other)):
        with pytest.raises(RegistryError, match="newer corpus"):
            touch()
    other.close()


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/r.sqlite3", tmp_path / "key")
    with pytest.raises(RegistryError, match=r"has no tables yet: run `salt-run mc_registry.upgrade`"):
        _names(registry)
    assert registry.upgrade()
    assert not registry.upgrade()
    assert _names(registry) == []
    registry.close()
