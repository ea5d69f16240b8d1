"""Opening the registry: SQLite (a file beside the controller's other data) or PostgreSQL, by its url.

.. code-block:: python

    registry = Registry("sqlite:////srv/corpus/registry.sqlite3", Path("/srv/corpus/secrets.key"), upgrade=True)
    with registry.session() as session:          # commits at the end, rolls back on an exception
        session.add(Owner(name="ada"))
    with registry.reading() as session:          # a consistent view that nobody waits for
        ...

A writing session holds off other writers on SQLite, and rows of theirs on PostgreSQL: keep it short, and never open
one inside another. Objects stay readable after their session, with the columns that were loaded in it.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, StatementError
from sqlalchemy.orm import Session

from corpus.controller.registry import migrations
from corpus.controller.registry.models import Base
from corpus.errors import Conflict, RegistryError, UsageError

#: Seconds that a writer waits for another one on SQLite, and that a connection to PostgreSQL may take.
PATIENCE = 30
CONNECTING = 5
#: The advisory lock that an upgrade on PostgreSQL holds.
_UPGRADING = 0x636F72707573


class Registry:
    """The registry at a url.

    It can be shared between threads and survives a fork: every process gets connections of its own.

    :param url: ``sqlite:////absolute/path`` or ``postgresql://user:password@host:port/name``
    :param key_file: absolute path of the key that credentials are encrypted with; made on first use
    :param upgrade: whether to make the tables those of this corpus now
    """

    def __init__(self, url: str, key_file: Path, upgrade: bool = False) -> None:
        self.url = _checked(url)
        self.key_file = key_file
        self._engines: dict[int, Engine] = {}  # by process: a child must neither use nor close its parent's
        self._opening = threading.Lock()
        self._local = threading.local()
        self._known: set[int] = set()  # processes that found the tables to be of this corpus
        if upgrade:
            self.upgrade()

    def __repr__(self) -> str:
        """The url without its password."""
        return f"<Registry {self.url.render_as_string(hide_password=True)}>"

    @property
    def engine(self) -> Engine:
        """This process' engine."""
        with self._opening:
            if os.getpid() not in self._engines:
                self._engines[os.getpid()] = _engine(self.url)
            return self._engines[os.getpid()]

    def close(self) -> None:
        """Give up this process' connections; the next session opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    def upgrade(self) -> bool:
        """Make the tables those of this corpus; return whether anything changed.

        One transaction: an upgrade that fails changes nothing. Several that run at once do it once.

        :raises RegistryError: the tables are of a newer corpus, or do not take the change
        """
        engine = _engine(self.url)  # one of its own, with what is said to its connection below
        try:
            with _explained(), engine.execution_options(corpus_reads=True).connect() as connection:
                return _upgraded(connection)
        finally:
            engine.dispose()

    def revision(self) -> str | None:
        """The revision of the tables that are there, or None when there are none."""
        with _explained(), self.engine.execution_options(corpus_reads=True).connect() as connection:
            return _revision(connection)

    def _check_revision(self) -> None:
        """Once in each process: a registry of another corpus is neither read nor written."""
        if os.getpid() not in self._known:
            _known(self.revision(), migrations.HEAD)
            self._known.add(os.getpid())

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that writes: committed at the end, rolled back on an exception.

        :raises Conflict: what should be unique is taken, or something still stands on what was deleted
        :raises RegistryError: the database cannot be reached, or holds something else than a registry
        """
        if getattr(self._local, "writing", False):
            raise RegistryError("A session of the registry is open in this thread already: end it first.")
        self._check_revision()
        self._local.writing = True
        try:
            with _explained(), Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        finally:
            self._local.writing = False

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads, all of it as it was at one moment; whatever it changes is forgotten."""
        self._check_revision()
        engine = self.engine.execution_options(corpus_reads=True)
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with _explained(), Session(engine, expire_on_commit=False, autoflush=False) as session:
            yield session


def _upgraded(connection: Connection) -> bool:
    from alembic import command

    sqlite = connection.dialect.name == "sqlite"
    if sqlite:  # tables are replaced by copies: what refers to them must not go with the old ones
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(select(func.pg_advisory_xact_lock(_UPGRADING)))
    before = _revision(connection)
    if before == migrations.HEAD:
        return False
    _known(before)
    command.upgrade(alembic_configuration(connection), "head")
    if sqlite and (wrong := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise RegistryError(f"The upgrade would leave rows of {wrong[0][0]} that refer to nothing.")
    connection.commit()
    return True


def alembic_configuration(connection: Connection) -> Any:
    """What Alembic's commands need to work on a connection."""
    from alembic.config import Config

    settings = Config(stdout=io.StringIO())
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _known(found: str | None, wanted: str | None = None) -> None:
    """Refuse tables of a newer corpus and, when one revision is wanted, those of another."""
    if found is not None and found > migrations.HEAD:
        raise RegistryError(f"The registry was upgraded by a newer corpus (its revision is {found}): install that one.")
    if wanted is not None and found != wanted:
        state = "has no tables yet" if found is None else f"is of revision {found}, and this corpus needs {wanted}"
        raise RegistryError(f"The registry {state}: run `salt-run mc_registry.upgrade`.")


def _checked(words: str) -> URL:
    try:
        url = make_url(words)
    except ArgumentError as err:
        raise UsageError("The registry's url is none: use sqlite:////path or postgresql://user@host/name.") from err
    kind = url.get_backend_name()
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise UsageError(f"A registry cannot be kept in {kind}: use sqlite:////path or postgresql://user@host/name.")
    if not url.database or not Path(url.database).is_absolute():
        raise UsageError(
            "A registry in SQLite is a file with an absolute path: sqlite:////srv/corpus/registry.sqlite3."
        )
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    try:
        return create_engine(
            url,
            pool_size=2,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECTING, "application_name": "corpus"},
        )
    except (ImportError, NoSuchModuleError) as err:
        raise RegistryError(f"PostgreSQL's driver is missing ({err}): pip install 'corpus-salt[controller]'.") from err


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    if not path.exists():  # nobody else may read it, nor what SQLite puts beside it
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as err:
            raise RegistryError(f"The registry {path} cannot be made: {err.strerror}.") from err
    engine = create_engine(url, connect_args={"timeout": PATIENCE})

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # or the driver begins transactions when it likes
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")  # a step that is journaled survives a power cut
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer that began by reading could not go on once another one has written.
        reads = connection.get_execution_options().get("corpus_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except IntegrityError as err:
        raise Conflict(f"The registry refuses: {refusal(err)}.") from err
    except DBAPIError as err:
        raise RegistryError(f"The registry failed: {_first_line(err)}.") from err
    except StatementError as err:  # a value that a column does not take
        raise RegistryError(f"The registry cannot keep that: {_first_line(err)}.") from err


def refusal(err: IntegrityError) -> str:
    """What a constraint's failure means, in the same words for every database."""
    known = getattr(err.orig, "diag", None)
    words = _first_line(err)
    if known is not None:  # PostgreSQL names the constraint
        name, table = str(known.constraint_name or ""), str(known.table_name or "")
        kind = name[:2]
        columns = [known.column_name] if known.column_name and not name else _columns(table, name)
    else:  # SQLite names columns, or a constraint that checks, or nothing
        kind, _, rest = words.partition(" constraint failed")
        names = [word.split(".") for word in rest.removeprefix(": ").split(", ") if "." in word]
        table, columns = names[0][0] if names else "", [name[-1] for name in names]
        kind = {"UNIQUE": "uq", "FOREIGN KEY": "fk", "NOT NULL": "", "CHECK": "ck"}.get(kind, kind)
        name = rest.removeprefix(": ") if kind == "ck" else ""
    these = " and ".join(columns)
    if kind in ("uq", "pk"):
        return "the minion id is taken" if table == "minion_ids" else f"{table} has one with this {these} already"
    if kind == "fk":
        return "something that it refers to is not there, or something still refers to it"
    if kind == "ck":
        return f"the value cannot be ({name.removeprefix('ck_')})"
    return f"{table} needs {these}" if these else words


def _columns(table: str, constraint: str) -> list[str]:
    known = Base.metadata.tables.get(table)
    if known is None:
        return []
    parts = [*known.constraints, *known.indexes]
    return [
        column.name
        for part in parts
        if getattr(part, "name", None) == constraint
        for column in getattr(part, "columns", [])
    ]


def _first_line(err: StatementError) -> str:
    words = str(err.orig).strip().splitlines()
    return words[0].rstrip(".") if words else type(err.orig).__name__
