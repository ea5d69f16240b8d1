"""The controller's settings: the key ``corpus`` of the master's configuration."""

from __future__ import annotations

import ipaddress
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from corpus.errors import ConfigurationError

_ZONE = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Dns:
    """Where names are registered.

    :param url: of PowerDNS' API, without ``/api``: ``http://127.0.0.1:8081``
    :param api_key_file: absolute path of the file that holds its key, 0600
    """

    url: str
    api_key_file: Path


@dataclass(frozen=True)
class Mail:
    """The server that takes our mails.

    :param host: of the server
    :param port: of the server
    :param sender: address that mails come from
    :param sysadmins: addresses that hear of every new machine
    :param starttls: encrypt, and check the server's certificate; a mail is not sent where that fails
    :param cafile: absolute path of the certificates to trust; None: those of the machine
    :param username: to log in with; None: do not. It asks for ``starttls``
    :param password_file: absolute path of the file with the password, 0600
    """

    host: str
    sender: str
    port: int = 25
    sysadmins: tuple[str, ...] = ()
    starttls: bool = False
    cafile: Path | None = None
    username: str | None = None
    password_file: Path | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that a controller must be told.

    :param home: absolute path of its folder: registry, keys, images
    :param registry_url: of the registry, as SQLAlchemy writes it; empty: SQLite in ``home``
    :param zone: domain under which nodes and guests get their names, without a final dot
    :param nameservers: host names of the zone's servers
    :param dns: where names are registered; None: nowhere
    :param mail: who takes mails; None: nobody
    :param master_address: name or address at which minions reach the master
    :param guest_network: private IPv4 network of each node's guests; ``N`` stands for the node's number
    :param guest_network6: private IPv6 network of each node's guests; ``N`` stands for the node's number
    :param ssh_ports: first port of a node that leads to a guest's ssh
    :param public_addresses: at which the controller itself is reached
    :param admins: the group (LDAP's or Unix') whose people are sysadmins
    :param web_url: at which people reach the web service; empty: there is none
    """

    home: Path = Path("/srv/corpus")
    registry_url: str = ""
    zone: str = "corpus.test"
    nameservers: tuple[str, ...] = ()
    dns: Dns | None = None
    mail: Mail | None = None
    master_address: str = "127.0.0.1"
    guest_network: str = "10.64.N.0/24"
    guest_network6: str = "fd00:64:N::/64"
    ssh_ports: int = 40000
    public_addresses: tuple[str, ...] = ()
    admins: str = "corpus-admins"
    web_url: str = ""

    def __post_init__(self) -> None:
        if not self.registry_url:
            object.__setattr__(self, "registry_url", f"sqlite:///{self.home}/registry.sqlite3")
        if not self.home.is_absolute():
            raise ConfigurationError(f"corpus.home is {str(self.home)!r}: write an absolute path.")
        if not _ZONE.fullmatch(self.zone):
            raise ConfigurationError(f"corpus.zone is {self.zone!r}: write a domain such as corpus.example.org.")
        for name, value in (("guest_network", self.guest_network), ("guest_network6", self.guest_network6)):
            try:
                ipaddress.ip_network(value.replace("N", "1"))
            except ValueError as err:
                raise ConfigurationError(
                    f"corpus.{name} is {value!r}: write a network such as 10.64.N.0/24 ({err})."
                ) from err
        if not 1024 <= self.ssh_ports <= 65000:
            raise ConfigurationError(f"corpus.ssh_ports is {self.ssh_ports}: write a port from 1024 to 65000.")
        if self.mail and self.mail.username and not (self.mail.starttls and self.mail.password_file):
            raise ConfigurationError("corpus.mail.username: set starttls and password_file, too.")

    @property
    def key_file(self) -> Path:
        """What the registry's secrets are encrypted with."""
        return self.home / "secrets.key"

    @property
    def sealing_key(self) -> Path:
        """What opens the secrets that the web service hands over."""
        return self.home / "sealing.key"

    @property
    def ssh(self) -> Path:
        """Folder of ssh keys."""
        return self.home / "ssh"

    @property
    def images(self) -> Path:
        """Folder of golden images."""
        return self.home / "images"

    @property
    def locks(self) -> Path:
        """Folder of the locks of operations."""
        return self.home / "locks"

    @classmethod
    def configured(cls, opts: Mapping[str, Any]) -> Settings:
        """Return the settings of a master's configuration.

        :raises ConfigurationError: a key is unknown, missing, or of the wrong type
        """
        given = opts.get("corpus") or {}
        if not isinstance(given, Mapping):
            raise ConfigurationError("corpus is not a mapping: see the controller's settings.")
        return _read(cls, given, "corpus")


_T = typing.TypeVar("_T", Settings, Dns, Mail)


def _read(kind: type[_T], given: Mapping[str, Any], where: str) -> _T:
    """Return the dataclass of a mapping, its types checked."""
    types_ = typing.get_type_hints(kind)
    for key in given:
        if key not in types_:
            raise ConfigurationError(f"{where}.{key} is not known: there are {', '.join(sorted(types_))}.")
    for known in fields(kind):
        if known.default is MISSING and known.name not in given:
            raise ConfigurationError(f"{where}.{known.name} is missing.")
    return kind(**{key: _value(types_[key], value, f"{where}.{key}") for key, value in given.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    """Return a value as its field holds it."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if kind in (Dns, Mail):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where} is not a mapping.")
        return _read(kind, value, where)
    if typing.get_origin(kind) is tuple:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, (list, tuple)) or not all(isinstance(one, str) for one in values):
            raise ConfigurationError(f"{where} is not a list of texts.")
        return tuple(values)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    wanted = {int: "a number", bool: "true or false"}.get(kind, "a text")
    raise ConfigurationError(f"{where} is {value!r}, not {wanted}.")
