"""What the web service must be told: a YAML file of its own, ``/etc/corpus/web.yaml``.

It has neither the master's key nor the registry's: what these open is asked for (:mod:`corpus.controller.questions`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from corpus.errors import ConfigurationError

DEFAULT = Path("/etc/corpus/web.yaml")


@dataclass(frozen=True)
class WebSettings:
    """The service's settings.

    :param registry: url of the controller's registry
    :param url: at which people reach the service: ``https://corpus.example.org``
    :param zone: domain of the controller
    :param master: address of the master, of which the web asks
    :param master_port: its return port
    :param eauth: by which of the master's ``external_auth`` people log in
    :param identity: name of the service in the master's ``external_auth: file``
    :param password_file: absolute path of its password, readable by the service alone
    :param admins: group whose people are sysadmins
    :param listen: address to listen at
    :param port: to listen at
    :param certificate: absolute path of the TLS certificate; None: a proxy in front speaks TLS
    :param key: absolute path of its key
    :param session_hours: after which one must log in again
    :param groups_seconds: after which a person's groups are looked up again; a change takes effect no later than that
    :param body_bytes: most that a request may bring along
    :param body_seconds: for which it may go on bringing it
    """

    registry: str
    url: str
    password_file: Path
    zone: str = "corpus.test"
    master: str = "127.0.0.1"
    master_port: int = 4506
    eauth: str = "pam"
    identity: str = "corpus-web"
    admins: str = "corpus-admins"
    listen: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    session_hours: float = 12
    groups_seconds: float = 45
    body_bytes: int = 1_000_000
    body_seconds: float = 20

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ConfigurationError(f"url is {self.url!r}: people log in there, so it must be https.")
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError("certificate and key: set both, or neither.")

    @property
    def secure(self) -> bool:
        """Whether people reach it by https."""
        return self.url.startswith("https://")


def read(path: Path) -> WebSettings:
    """Return the settings of a file.

    :raises ConfigurationError: it cannot be read, or a key is unknown, missing, or of the wrong type
    """
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as err:
        raise ConfigurationError(f"{path} cannot be read: {err}") from err
    if not isinstance(given, dict):
        raise ConfigurationError(f"{path} is no mapping: see docs/web.rst.")
    known = {one.name: str(one.type) for one in fields(WebSettings)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigurationError(f"{path}: {name} is not known: there are {', '.join(sorted(known))}.")
        kind = known[name]
        if kind.startswith("Path"):
            good, value = isinstance(value, str) and value.startswith("/"), Path(str(value))
        else:
            types: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float)}
            good = isinstance(value, types.get(kind, (str,))) and not isinstance(value, bool)
        if not good:
            raise ConfigurationError(f"{path}: {name} cannot be {given[name]!r}.")
        values[name] = value
    for needed in ("registry", "url", "password_file"):
        if needed not in values:
            raise ConfigurationError(f"{path}: {needed} is missing.")
    return WebSettings(**values)
