"""``~/.makinastates.conf``: the endpoints that a person may ask, each under a nickname.

.. code-block:: yaml

    prod:
      url: https://corpus.example.org
      id: ada
      password_command: [pass, show, corpus]
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .errors import NotAllowed, WrongUse

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SAMPLE = "prod: {url: https://corpus.example.org, id: ada}"
#: Seconds that a command which tells a password may take; somebody may have to touch a key for it.
_TELLING = 120


@dataclass(frozen=True)
class Endpoint:
    """A service that may be asked.

    :param nickname: what it is called on the command line
    :param url: where it is: ``https://corpus.example.org``
    :param id: login name there
    :param password: of that name; better not written down at all
    :param password_command: argv of a program that prints it
    :param token: personal access token, instead of a password
    :param token_command: argv of a program that prints it
    :param cafile: absolute path of the authorities' certificates that are trusted instead of the system's
    """

    nickname: str
    url: str
    id: str | None = None
    password: str | None = None
    password_command: tuple[str, ...] | None = None
    token: str | None = None
    token_command: tuple[str, ...] | None = None
    cafile: Path | None = None

    def given_token(self) -> str | None:
        """The personal access token, if one was given: ``CORPUS_TOKEN``, or by the settings."""
        if found := os.environ.get("CORPUS_TOKEN"):
            return found
        return self.token or (_told(self, "token_command", self.token_command) if self.token_command else None)

    def given_password(self) -> str | None:
        """The password, if one was given: ``CORPUS_PASSWORD``, or by the settings."""
        if found := os.environ.get("CORPUS_PASSWORD"):
            return found
        if self.password_command:
            return _told(self, "password_command", self.password_command)
        return self.password


def _told(endpoint: Endpoint, key: str, argv: tuple[str, ...]) -> str:
    try:
        ended = subprocess.run(argv, stdout=subprocess.PIPE, check=False, timeout=_TELLING, text=True)
    except (OSError, subprocess.SubprocessError) as err:
        raise NotAllowed(f"{key} of {endpoint.nickname} does not run: {err}") from err
    word = ended.stdout.split("\n", 1)[0].rstrip("\r")
    if ended.returncode or not word:
        raise NotAllowed(f"{key} of {endpoint.nickname} ({argv[0]}) ended with {ended.returncode} and told nothing.")
    return word


def path() -> Path:
    """Where the settings are: ``CORPUS_CONFIG``, or ``~/.makinastates.conf``."""
    return Path(os.environ.get("CORPUS_CONFIG") or Path.home() / ".makinastates.conf").expanduser()


def endpoint(nickname: str) -> Endpoint:
    """Return the endpoint of a nickname.

    :raises WrongUse: there is none of it, or the file is not as it should be
    """
    found = read(path())
    if nickname not in found:
        known = ", ".join(sorted(found)) or "none"
        raise WrongUse(f"{path()} has no endpoint {nickname!r}: there is {known}.")
    return found[nickname]


def nicknames() -> list[str]:
    """The nicknames of a file that can be read; none of another one. For completion."""
    try:
        return sorted(read(path()))
    except WrongUse:
        return []


def read(file: Path) -> dict[str, Endpoint]:
    """Return the endpoints of a file.

    :raises WrongUse: it cannot be read, others can read it, or it is not as it should be
    """
    try:
        with file.open(encoding="utf-8") as opened:
            _private(file, os.fstat(opened.fileno()))
            given = yaml.safe_load(opened)
    except FileNotFoundError:
        raise WrongUse(f"There is no {file}: make it, readable by you alone (chmod 600), such as: {_SAMPLE}") from None
    except (OSError, UnicodeDecodeError) as err:
        raise WrongUse(f"{file} cannot be read: {err}") from err
    except yaml.YAMLError as err:  # its words would quote the file, and the password in it
        mark = getattr(err, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise WrongUse(f"{file} is no YAML{where}: it should be such as: {_SAMPLE}") from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise WrongUse(f"{file} is no mapping: it should be such as: {_SAMPLE}")
    return {str(nickname): _endpoint(file, str(nickname), told) for nickname, told in given.items()}


def _private(file: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise WrongUse(f"{file} is no file.")
    if found.st_uid not in (os.geteuid(), 0):
        raise WrongUse(f"{file} belongs to somebody else: it would tell them your passwords.")
    if found.st_mode & 0o077:
        raise WrongUse(f"{file} can be read by others, and may have passwords in it: chmod 600 {file}")


def _endpoint(file: Path, nickname: str, told: Any) -> Endpoint:
    where = f"{file}: {nickname}"
    if not isinstance(told, Mapping):
        raise WrongUse(f"{where} is no mapping: it should be such as: {_SAMPLE}")
    known = [one.name for one in fields(Endpoint) if one.name != "nickname"]
    values: dict[str, Any] = {}
    for key, value in told.items():
        if key not in known:
            raise WrongUse(f"{where}: {key} is not known: there are {', '.join(known)}.")
        if key.endswith("_command"):
            if not (isinstance(value, list) and value and all(isinstance(word, str) for word in value)):
                raise WrongUse(f"{where}: {key} is the list of a program and its arguments: [pass, show, corpus].")
            values[key] = tuple(value)
        elif isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
            values[key] = str(value)
        else:
            raise WrongUse(f"{where}: {key} is not what it should be.")  # not said: it may be a password
    if "url" not in values:
        raise WrongUse(f"{where} has no url.")
    values["url"] = _url(where, values["url"])
    if "cafile" in values:
        values["cafile"] = Path(values["cafile"]).expanduser()
    return Endpoint(nickname, **values)


def _url(where: str, given: str) -> str:
    """Return a url with its scheme.

    :raises WrongUse: it is none, or a password would travel in the clear
    """
    whole = given if "://" in given else f"https://{given}"
    try:
        parts = urlsplit(whole)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment or parts.username:
        raise WrongUse(f"{where}: url {given!r} is not such as https://corpus.example.org.")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise WrongUse(f"{where}: url {given!r} must be https: the password would travel in the clear.")
    return whole.rstrip("/")
