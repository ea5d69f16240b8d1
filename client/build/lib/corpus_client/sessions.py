"""Sessions: a token for each endpoint, kept until it expires, so that nobody types their password all day."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .settings import Endpoint

#: A token that ends so soon is not begun with.
_EARLY = datetime.timedelta(seconds=30)


@dataclass(frozen=True)
class Session:
    """Who is logged in.

    :param id: login name
    :param token: what is sent
    :param expires: when it ends, UTC
    """

    id: str
    token: str
    expires: datetime.datetime


def folder() -> Path:
    """Where sessions are kept: below ``XDG_STATE_HOME``."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / "corpus/sessions"


def _file(endpoint: Endpoint) -> Path:
    return folder() / hashlib.sha256(f"{endpoint.nickname} {endpoint.url}".encode()).hexdigest()[:24]


def kept(endpoint: Endpoint) -> Session | None:
    """Return the session that is kept for an endpoint, if it is good still."""
    try:
        with _file(endpoint).open(encoding="utf-8") as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                return None
            told = json.load(opened)
        expires = datetime.datetime.fromisoformat(told["expires"])
        session = Session(str(told["id"]), str(told["token"]), expires)
        alive = expires - datetime.datetime.now(datetime.timezone.utc) > _EARLY
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return session if alive and endpoint.id in (None, session.id) else None


def keep(endpoint: Endpoint, session: Session) -> None:
    """Keep a session, readable by its owner alone."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    told = {"id": session.id, "token": session.token, "expires": session.expires.isoformat()}
    handle, name = tempfile.mkstemp(dir=folder())  # 0600
    with open(handle, "w", encoding="utf-8") as opened:
        json.dump(told, opened)
    Path(name).replace(_file(endpoint))


def forget(endpoint: Endpoint) -> None:
    """Keep it no longer."""
    with contextlib.suppress(FileNotFoundError):
        _file(endpoint).unlink()
