"""The whole registry as one YAML file, and back: a backup, or the way from SQLite to PostgreSQL.

Nothing secret stands in it in the clear. Credentials, and what a telling key (``password``, ``token`` …) says in settings,
are encrypted: with the registry's own key, which must then travel apart, or with a passphrase. One-time links, access
tokens and what is soon forgotten stay behind. The audit travels to a registry that has none yet: it is never replaced.
"""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy import ColumnElement, delete, func, inspect, select, text
from sqlalchemy.orm import ColumnProperty, Session

from corpus import files
from corpus.controller.credentials import Credentials
from corpus.controller.registry import migrations, turns
from corpus.controller.registry.models import (
    AccessToken,
    Audit,
    Base,
    Credential,
    Event,
    IdempotencyKey,
    MinionId,
    OneTimeLink,
    Question,
    Turn,
    UtcTime,
    now,
)
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError, UsageError
from corpus.secrets import Vault

FORMAT = 1
_HEAD = "registry"
#: What a passphrase costs to try (32 MB, about a tenth of a second), as the file says, too.
_COST = {"n": 1 << 15, "r": 8, "p": 1}
_BEHIND = (AccessToken, Event, IdempotencyKey, MinionId, OneTimeLink, Question, Turn)
_KEY_FILE = "key file"
_PASSPHRASE = 12

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Sealing(Vault):
    """Encrypts what is secret in settings as the rest of the file is encrypted."""

    def __init__(self, encrypt: Any, decrypt: Any) -> None:
        self._seal, self._unseal = encrypt, decrypt

    def _encrypted(self, text: str) -> str:
        return str(self._seal("settings", text))

    def _decrypted(self, token: str) -> str:
        return str(self._unseal("settings", token))


class _Secrets:
    """How a file's secrets are encrypted: with the registry's keys, or with a passphrase."""

    def __init__(self, credentials: Credentials, passphrase: str | None, told: Mapping[str, Any] | None = None) -> None:
        self.credentials = credentials
        self._fernet: Fernet | None = None
        self.told: Any = _KEY_FILE
        if passphrase is not None:
            if len(passphrase) < _PASSPHRASE and told is None:
                raise UsageError(f"The passphrase is too short: use {_PASSPHRASE} characters or more.")
            if told is None:
                told = {"salt": base64.b64encode(os.urandom(16)).decode(), **_COST}
            self.told = {"passphrase": dict(told)}
            self._fernet = Fernet(_key(passphrase, told))
        self.vault = _Sealing(self.encrypted, self.decrypted)

    def encrypted(self, label: str, text: str) -> str:
        """A text as the file has it."""
        if self._fernet is None:
            return self.credentials.encrypted("exchange", label, text).decode()
        return self._fernet.encrypt(text.encode()).decode()

    def decrypted(self, label: str, token: str) -> str:
        """What :meth:`encrypted` was given."""
        if self._fernet is None:
            try:
                return self.credentials.decrypted(Credential(subject="exchange", name=label, value=token.encode()))
            except CorpusError as err:
                raise CorpusError(
                    "The file's secrets were encrypted with another registry's key: put that key file in place before, "
                    "or export with a passphrase."
                ) from err
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as err:
            raise CorpusError("The passphrase is not the one that this file was made with.") from err


def _key(passphrase: str, told: Mapping[str, Any]) -> bytes:
    try:
        if told["n"] * told["r"] * told["p"] > 1 << 22:
            raise UsageError("The file asks for more work with its passphrase than corpus ever does: it is damaged.")
        kdf = Scrypt(salt=base64.b64decode(told["salt"]), length=32, n=told["n"], r=told["r"], p=told["p"])
        return base64.urlsafe_b64encode(kdf.derive(passphrase.encode()))
    except (KeyError, TypeError, ValueError) as err:
        raise UsageError("The file does not say how its passphrase became a key: it is damaged.") from err


def export(registry: Registry, path: Path, passphrase: str | None = None) -> dict[str, int]:
    """Write the registry into a file (0600), as it was at one moment; return how many rows of each table.

    :param path: absolute
    :param passphrase: what secrets are encrypted with; None: the registry's own key
    """
    if not path.is_absolute():
        raise UsageError(f"{path} is no absolute path: the file would be written where the master happens to run.")
    secrets = _Secrets(Credentials.of(registry), passphrase)
    head = {"format": FORMAT, "revision": migrations.HEAD, "exported": now().isoformat(), "secrets": secrets.told}
    content: dict[str, Any] = {_HEAD: head}
    with registry.reading() as session:
        for model in _models():
            content[model.__tablename__] = [_row(one, secrets) for one in _ordered(session, model)]
    try:
        files.write(path, yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True), 0o600)
    except OSError as err:
        raise CorpusError(f"{path} cannot be written: {err.strerror}.") from err
    return {table: len(rows) for table, rows in content.items() if table != _HEAD}


def import_(
    registry: Registry, path: Path, passphrase: str | None = None, replace: bool = False, test: bool = False
) -> dict[str, int]:
    """Fill a registry from a file; return how many rows of each table. All of it, or nothing.

    :param passphrase: the one that the file was made with
    :param replace: whether to remove what the registry has; without it, a registry that has something is refused
    :param test: do it, and forget it: what would be refused is, and nothing is changed
    :raises UsageError: the file is none of ours, or of another corpus
    :raises Conflict: its rows contradict each other
    """
    content = _read(path)
    head = content.pop(_HEAD)
    secrets = _Secrets(Credentials.of(registry), *_opening(head["secrets"], passphrase))
    models = _models()
    if unknown := sorted(set(content) - {model.__tablename__ for model in models}):
        raise UsageError(f"{path}: there is no table {unknown[0]!r}.")
    counts = {}
    with registry.session() as session:
        turns.take(session, "credentials")
        _emptied(session, models, replace)
        for model in models:
            rows = content.get(model.__tablename__) or []
            if model is Audit and session.scalar(select(Audit.id).limit(1)) is not None:
                rows = []
            session.add_all([_object(model, row, secrets, path) for row in rows])
            session.flush()
            session.expunge_all()
            counts[model.__tablename__] = len(rows)
        _count_on(session, models)
        if test:
            session.rollback()
    return counts


def passphrase_in(path: str | None) -> str | None:
    """The passphrase in a file, without the line feed at its end; None without a file."""
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(f"The passphrase's file {path} cannot be read.") from err


def _models() -> list[type[Base]]:
    """The classes whose rows travel; what others refer to comes first."""
    classes = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    return [classes[table] for table in Base.metadata.sorted_tables if classes[table] not in _BEHIND]


def _columns(model: type[Base]) -> Iterable[ColumnProperty[Any]]:
    return inspect(model).column_attrs


def _ordered(session: Session, model: type[Base]) -> Iterable[Base]:
    keys: tuple[ColumnElement[Any], ...] = inspect(model).primary_key
    for one in session.scalars(select(model).order_by(*keys).execution_options(yield_per=1000)):
        yield one
        session.expunge(one)


def _row(one: Base, secrets: _Secrets) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in _columns(type(one)):
        value = getattr(one, column.key)
        if isinstance(one, Credential) and column.key == "value":
            value = secrets.encrypted("credential", secrets.credentials.decrypted(one))
        elif isinstance(value, datetime.datetime):
            value = value.isoformat()
        elif isinstance(value, (dict, list)):
            value = secrets.vault.sealed(_plain(value))
        found[column.key] = value
    return found


def _plain(value: Any) -> Any:
    """Without the classes that notice changes, which YAML does not know."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _object(model: type[Base], row: Any, secrets: _Secrets, path: Path) -> Base:
    columns = {column.key: column.columns[0] for column in _columns(model)}
    if not isinstance(row, Mapping) or set(row) - set(columns):
        raise UsageError(f"{path}: a row of {model.__tablename__} is no mapping of its columns.")
    values = dict(row)
    for key, value in row.items():
        if model is Credential and key == "value":
            secret = secrets.decrypted("credential", str(value))
            values[key] = secrets.credentials.encrypted(str(row.get("subject")), str(row.get("name")), secret)
        elif isinstance(columns[key].type, UtcTime) and value is not None:
            values[key] = _moment(value, path)
        elif isinstance(value, (dict, list)):
            values[key] = secrets.vault.opened(value)
    return model(**values)


def _moment(value: Any, path: Path) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(str(value))
    except ValueError as err:
        raise UsageError(f"{path}: {str(value)[:40]!r} is no time.") from err


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_LOADER)  # noqa: S506 - a safe loader
    except OSError as err:
        raise CorpusError(f"{path} cannot be read: {err.strerror}.") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise UsageError(f"{path} is not YAML: it is damaged, or no exported registry.") from err
    head = content.get(_HEAD) if isinstance(content, dict) else None
    if not isinstance(head, dict) or head.get("format") != FORMAT or "secrets" not in head:
        raise UsageError(f"{path} is no exported registry.")
    if head.get("revision") != migrations.HEAD:
        raise UsageError(
            f"{path} is of revision {head.get('revision')}, this corpus has {migrations.HEAD}: "
            "import it with the corpus that wrote it, then upgrade that registry."
        )
    return dict(content)


def _opening(told: Any, passphrase: str | None) -> tuple[str | None, Mapping[str, Any] | None]:
    if told == _KEY_FILE:
        return None, None
    if not isinstance(told, dict) or not isinstance(told.get("passphrase"), dict):
        raise UsageError("The file does not say how its secrets are encrypted: it is damaged.")
    if passphrase is None:
        raise UsageError("The file's secrets are encrypted with a passphrase: give it.")
    return passphrase, told["passphrase"]


def _emptied(session: Session, models: list[type[Base]], replace: bool) -> None:
    models = [model for model in models if model is not Audit]
    if not replace:
        filled = [m.__tablename__ for m in models if session.scalar(select(func.count()).select_from(m))]
        if filled:
            raise UsageError(f"The registry is not empty (it has {filled[0]}): import with replace=True to lose that.")
    for model in reversed(models):
        session.execute(delete(model))


def _count_on(session: Session, models: list[type[Base]]) -> None:
    """PostgreSQL counts ids apart from the rows: the next one comes after those that were brought."""
    if session.get_bind().dialect.name != "postgresql":
        return
    for model in models:
        if "id" in model.__table__.columns:
            table = model.__tablename__
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL)"  # noqa: S608
                    f" FROM {table}"
                )
            )
