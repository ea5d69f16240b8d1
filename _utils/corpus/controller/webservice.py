"""What the controller prepares for the web service: a user of its own, an identity at the master, a way to the registry.

The service gets the registry and nothing else of the controller's home; its identity may call one runner.
"""

from __future__ import annotations

import grp
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corpus.controller import authority
from corpus.controller.settings import Settings
from corpus.errors import ConfigurationError, CorpusError

#: What a wish may say of it.
KEYS = ("url", "listen", "port", "certificate", "key", "registry", "session_hours")
#: The name of its identity.
IDENTITY = "corpus-web"
#: What its identity may call.
_RUNNERS = [r"mc_controller\.answer$"]
_SQLITE = "sqlite:///"


def checked(given: Mapping[str, Any], settings: Settings) -> None:
    """See that what was said of the service can be.

    :raises ConfigurationError: it cannot
    """
    for key in given:
        if key not in KEYS:
            raise ConfigurationError(f"web.{key} is not known: there are {', '.join(sorted(KEYS))}.")
    url = urlsplit(str(given.get("url", "")))
    if url.scheme != "https" or not url.hostname or url.path not in ("", "/") or url.query:
        raise ConfigurationError("web.url is where people reach the service, such as https://corpus.example.org.")
    if ("certificate" in given) != ("key" in given):
        raise ConfigurationError("web.certificate and web.key: set both, or neither.")
    for key in ("certificate", "key"):
        if key in given and not Path(str(given[key])).is_absolute():
            raise ConfigurationError(f"web.{key} is an absolute path.")
    path = registry_file(settings)
    if path is not None and path.parent == settings.home:
        raise ConfigurationError(
            f"The web service writes beside the registry, and may not write in {settings.home}: leave registry_url out."
        )


def registry_file(settings: Settings) -> Path | None:
    """Where the registry is kept, or None when that is PostgreSQL."""
    url = settings.registry_url
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def own_registry(home: Path) -> str:
    """The url of a registry in SQLite that the service can reach: in a folder of its own."""
    return f"{_SQLITE}{home}/registry/registry.sqlite3"


def eauth(folder: Path) -> dict[str, Any]:
    """What the master's ``external_auth: file`` says of the service's identity."""
    return {"^filename": str(folder / "identities"), "^hashtype": "sha512", IDENTITY: [{"@runner": _RUNNERS}]}


def group(user: str) -> str:
    """The group of the service's user; one that is not there yet gets a group of its name."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return user


def pillar(
    given: Mapping[str, Any], settings: Settings, folder: Path, user: str, people: str, port: int, interface: str
) -> dict[str, Any]:
    """What the states are told. There are secrets in it.

    :param given: what was said of it
    :param folder: of its configuration, absolute
    :param user: that it runs as
    :param people: by which of the master's ``external_auth`` people log in
    :param port: of the master
    :param interface: that the master listens at
    """
    url = urlsplit(str(given["url"]))
    path = registry_file(settings)
    try:
        password = (folder / "web.password").read_text().strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(32)
    own = "certificate" not in given
    told = {
        "registry": given.get("registry") or settings.registry_url,
        "url": str(given["url"]).rstrip("/"),
        "password_file": str(folder / "web.password"),
        "zone": settings.zone,
        "master": "127.0.0.1" if interface in ("0.0.0.0", "::") else interface,  # noqa: S104 - it is compared
        "master_port": port,
        "eauth": people,
        "admins": settings.admins,
        "listen": given.get("listen", "0.0.0.0"),  # noqa: S104 - people come from everywhere
        "port": port_of(given),
        "certificate": str(given.get("certificate", folder / authority.NAMES.certificate)),
        "key": str(given.get("key", folder / authority.NAMES.key)),
        **({"session_hours": given["session_hours"]} if "session_hours" in given else {}),
    }
    return {
        "folder": str(folder),
        "user": user,
        "group": group(user),
        "new": not _there(user),
        "registry": str(path.parent) if path else None,
        "settings": json.dumps(told, indent=1),
        "password": password,
        "identity": f"{IDENTITY}:{hashlib.sha512(password.encode()).hexdigest()}",
        "tls": asdict(authority.chain(folder, _hosts(url.hostname or ""))) if own else None,
        "names": asdict(authority.NAMES),
        "privileged": low(given),
    }


def port_of(given: Mapping[str, Any]) -> int:
    """The port that it listens at."""
    return int(given.get("port") or urlsplit(str(given["url"])).port or 443)


def low(given: Mapping[str, Any]) -> bool:
    """Whether that port is one for which root's leave is needed."""
    return port_of(given) < 1024


def _there(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _hosts(name: str) -> list[str]:
    return [name, "127.0.0.1", "::1"] if name == "localhost" else [name]


def as_it_is(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must have been said of the service that is there.

    :param folder: of its configuration
    :param settings: of the controller
    :raises CorpusError: its settings cannot be read
    """
    path = folder / "web.yaml"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise CorpusError(f"{path} cannot be read: name the controller's settings by settings=PATH.") from err
    found = {key: told[key] for key in KEYS if key in told}
    if found.get("certificate") == str(folder / authority.NAMES.certificate):
        del found["certificate"], found["key"]
    if found.get("registry") == settings.get("registry_url"):
        del found["registry"]
    return found


def packages() -> None:
    """See that what the service is made of is installed.

    :raises CorpusError: it is not
    """
    missing = [name for name in ("fastapi", "jinja2", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise CorpusError(f"The web service needs {', '.join(missing)}: pip install 'corpus-salt[web]'.")


def moved(settings: Settings) -> bool:
    """Move a registry that is kept in the controller's home to where it shall be; return whether there was one.

    Whoever writes meanwhile is waited for, and finds it no more in the old place.
    """
    old, new = settings.home / "registry.sqlite3", registry_file(settings)
    if new is None or new.exists() or not old.exists():
        return False
    apart = new.with_name(f".{new.name}")
    apart.unlink(missing_ok=True)
    with closing(sqlite3.connect(old, timeout=30, isolation_level=None)) as source:
        source.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(old)) as reading, closing(sqlite3.connect(apart)) as target:
            reading.backup(target)
        apart.rename(new)
        old.rename(old.with_name("registry.sqlite3.moved"))
        source.execute("ROLLBACK")
    for left in ("registry.sqlite3-wal", "registry.sqlite3-shm"):
        (settings.home / left).unlink(missing_ok=True)
    return True


def shared(settings: Settings, user: str) -> None:
    """Let the service's user write the registry; SQLite gives what it puts beside it the same mode."""
    path = registry_file(settings)
    if path is not None:
        number = grp.getgrnam(group(user)).gr_gid
        for one in (path, *path.parent.glob(f"{path.name}-*")):
            os.chown(one, -1, number)
            one.chmod(0o660)


def unreachable(user: str) -> str | None:
    """Why a user cannot run the service, in words; None when they can."""
    words = [sys.executable, "-c", "import corpus.web.app"]
    ended = subprocess.run(
        ["setpriv", f"--reuid={user}", f"--regid={group(user)}", "--clear-groups", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if ended.returncode == 0:
        return None
    return f"{user} cannot run {sys.executable}: install corpus where everybody may read it, such as in /opt."
