"""Opening the registry: sessions, forks, files, and what it says when it cannot."""

import os
import threading
from pathlib import Path

import pytest
from corpus.controller.registry.models import Owner
from corpus.controller.registry.store import Registry
from corpus.errors import Conflict, RegistryError, UsageError
from sqlalchemy import select, text


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
