"""What the traffic of a node shall be, as the controller asks for it; everything is checked before it is believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from corpus.errors import UsageError
from corpus.identifiers import shown

Network = TypeVar("Network", ipaddress.IPv4Network, ipaddress.IPv6Network)

_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
#: ports below it are the node's own
FIRST_SSH_PORT = 1024


@dataclass(frozen=True)
class Guest:
    """A guest as the outside sees it.

    :param name: unique on the node
    :param address: IPv4, or empty
    :param address6: IPv6, or empty
    :param ssh_port: port of the node that leads to the guest's port 22; None: no ssh from outside
    :param names: host names, lower case; ``*.example.org`` means every name below example.org
    :param http_port: port of the guest that gets http
    :param https_port: port of the guest that gets TLS, undecrypted
    :param owner: guests of one owner may talk to each other; empty: to nobody
    :param open_to: names of further guests that may talk to this one
    """

    name: str
    address: str = ""
    address6: str = ""
    ssh_port: int | None = None
    names: tuple[str, ...] = ()
    http_port: int = 80
    https_port: int = 443
    owner: str = ""
    open_to: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that the guest has, IPv4 first."""
        return tuple(address for address in (self.address, self.address6) if address)


@dataclass(frozen=True)
class Wanted:
    """The traffic of a whole node.

    :param bridge: interface that the guests are plugged to
    :param network: of the guests, IPv4, or empty
    :param network6: of the guests, IPv6, or empty
    :param guests: ordered by name
    :param http_port: port of the node that takes http
    :param https_port: port of the node that takes https
    """

    bridge: str = "corpus0"
    network: str = ""
    network6: str = ""
    guests: tuple[Guest, ...] = ()
    http_port: int = 80
    https_port: int = 443

    @classmethod
    def parsed(cls, given: Mapping[str, Any]) -> Wanted:
        """Return what a mapping of plain values asks for.

        :raises UsageError: something in it cannot be; nothing was changed
        """
        _no_others(given, cls, "traffic")
        network = _network(given.get("network"), ipaddress.IPv4Network)
        network6 = _network(given.get("network6"), ipaddress.IPv6Network)
        if not network and not network6:
            raise UsageError("traffic: give the guests' network, network6, or both.")
        listed = given.get("guests") or ()
        if not isinstance(listed, (list, tuple)):
            raise UsageError("traffic: guests is a list, one mapping for each guest.")
        http, https = (_port(_or(given.get(key), default), f"traffic: {key}") for key, default in _PORTS)
        guests = sorted((_guest(one, network, network6) for one in listed), key=lambda guest: guest.name)
        _apart(guests, {http, https})
        return cls(
            interface(given.get("bridge", "corpus0")),
            str(network or ""),
            str(network6 or ""),
            tuple(guests),
            http,
            https,
        )

    def plain(self) -> dict[str, Any]:
        """Return what :meth:`parsed` takes."""
        return asdict(self)

    def pairs(self, family: str) -> list[tuple[str, str]]:
        """Return who may begin to talk to whom, as addresses.

        :param family: ``address`` or ``address6``
        """
        return sorted(
            (getattr(source, family), getattr(target, family))
            for source in self.guests
            for target in self.guests
            if source is not target
            and ((source.owner and source.owner == target.owner) or source.name in target.open_to)
            and getattr(source, family)
            and getattr(target, family)
        )


_PORTS = (("http_port", 80), ("https_port", 443))


def interface(name: object) -> str:
    """Return ``name`` when it can name a network interface.

    :raises UsageError: it cannot
    """
    if isinstance(name, str) and _INTERFACE.fullmatch(name):
        return name
    raise UsageError(f"{shown(name)} cannot name a bridge: use up to 15 letters, digits, '-', '_' or '.'.")


def _guest(
    given: Any,
    network: ipaddress.IPv4Network | None,
    network6: ipaddress.IPv6Network | None,
) -> Guest:
    if not isinstance(given, Mapping):
        raise UsageError(f"traffic: {shown(given)} is no guest: give a mapping with name, address, ssh_port, names.")
    name = _guest_name(given.get("name"))
    where = f"guest {name}"
    _no_others(given, Guest, where)
    port = given.get("ssh_port")
    http, https = (_port(_or(given.get(key), default), f"{where}: {key}") for key, default in _PORTS)
    guest = Guest(
        name,
        _address(given.get("address"), network, 4, where),
        _address(given.get("address6"), network6, 6, where),
        None if port is None else _port(port, f"{where}: ssh_port", FIRST_SSH_PORT),
        tuple(sorted({host_name(one) for one in _several(given.get("names"), f"{where}: names")})),
        http,
        https,
        str(given.get("owner") or ""),
        tuple(sorted({_guest_name(one) for one in _several(given.get("open_to"), f"{where}: open_to")})),
    )
    if not guest.addresses:
        raise UsageError(f"{where}: give its address, its address6, or both.")
    return guest


def _guest_name(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise UsageError(f"{shown(name)} cannot name a guest: use up to 253 lower-case letters, digits, '-', '_' or '.'.")


def host_name(name: object) -> str:
    """Return a host name in lower case, with a wildcard as its first label or none.

    :raises UsageError: it is no host name
    """
    lower = name.lower().removesuffix(".") if isinstance(name, str) else ""
    if len(lower) <= 253 and _HOST.fullmatch(lower):
        return lower
    raise UsageError(f"{shown(name)} is no host name: use names such as shop.example.org or *.example.org.")


def _several(given: Any, what: str) -> Iterable[Any]:
    if given is None or isinstance(given, (list, tuple)):
        return given or ()
    raise UsageError(f"{what} is a list.")


def _network(given: Any, kind: type[Network]) -> Network | None:
    if not given:
        return None
    try:
        return kind(given)
    except (TypeError, ValueError) as err:
        example = "10.64.1.0/24" if kind is ipaddress.IPv4Network else "fd00:64:1::/64"
        raise UsageError(f"traffic: {shown(given)} is no network such as {example}.") from err


def _address(
    given: Any, network: ipaddress.IPv4Network | ipaddress.IPv6Network | None, version: int, where: str
) -> str:
    if not given:
        return ""
    try:
        address = ipaddress.ip_interface(given).ip
    except (TypeError, ValueError) as err:
        raise UsageError(f"{where}: {shown(given)} is no address.") from err
    if address.version != version or getattr(address, "scope_id", None):
        raise UsageError(f"{where}: {shown(given)} is no IPv{version} address.")
    if network is None:
        raise UsageError(f"{where}: it has an IPv{version} address, and the node has no such network for guests.")
    own = (network.network_address, network.broadcast_address, network.network_address + 1)
    if address not in network or address in own:
        raise UsageError(f"{where}: {address} is no address for a guest in {network}.")
    return str(address)


def _or(given: Any, default: int) -> Any:
    return default if given is None else given


def _port(given: Any, what: str, first: int = 1) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and first <= given < 65536:
        return given
    raise UsageError(f"{what}: {shown(given)} is no port from {first} to 65535.")


def _no_others(given: Mapping[str, Any], kind: type, where: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: {shown(given)} is no mapping.")
    unknown = sorted(map(str, set(given) - {field.name for field in fields(kind)}))
    if unknown:
        raise UsageError(f"{where}: there is no key {shown(unknown[0])}.")


def _apart(guests: Iterable[Guest], taken: set[int]) -> None:
    """Refuse what two guests cannot share."""
    if len(taken) < 2:
        raise UsageError("traffic: http_port and https_port are the same.")
    owners: dict[tuple[str, object], str] = {("port", port): "the proxy" for port in taken}
    for guest in guests:
        claims: list[tuple[str, object]] = [("name", guest.name), *(("address", one) for one in guest.addresses)]
        claims += [("host name", name) for name in guest.names]
        claims += [("port", guest.ssh_port)] if guest.ssh_port is not None else []
        for claim in claims:
            if claim in owners:
                raise UsageError(f"guest {guest.name}: the {claim[0]} {claim[1]} belongs to {owners[claim]} already.")
            owners[claim] = f"the guest {guest.name}"
