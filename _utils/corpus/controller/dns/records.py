"""Records as they should be: checked, in one canonical form, and computed from the registry.

A record here is a whole RRset: one name, one type, all of its values. Names and values are given as people write them
and kept as a server keeps them, so that equal ones are equal texts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import UsageError
from corpus.identifiers import domain_name, shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TTL = 60

_CAA = re.compile(r'(?P<flags>\d{1,3})\s+(?P<tag>[a-z0-9]{1,15})\s+(?P<value>"[^"\\]*"|[^\s"\\]+)')
_STRING = re.compile(rb'\s*"((?:[^"\\]|\\[0-9]{3}|\\[^0-9])*)"\s*')
_ESCAPE = re.compile(rb"\\([0-9]{3}|[^0-9])")


@dataclass(frozen=True, order=True)
class Record:
    """A name, and all that it stands for in one type.

    :param name: in lower case, without the dot at its end; the first label may be ``*``. For a PTR, an address will do
    :param type: one of :data:`TYPES`
    :param values: as in a zone file, sorted; names of hosts are whole names. A TXT is its plain text, or quoted as in a
        zone file
    :param ttl: seconds that others may remember it
    :raises UsageError: something of it cannot be
    """

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int = TTL

    def __post_init__(self) -> None:
        kind = str(self.type).upper()
        if kind not in TYPES:
            raise UsageError(f"{shown(self.type)} is no type of record that corpus knows: {', '.join(TYPES)}.")
        given: Any = self.values
        given = (given,) if isinstance(given, str) else given
        if not isinstance(given, Sequence) or not given:
            raise UsageError(f"A {kind} record of {shown(self.name)} needs a value.")
        if isinstance(self.ttl, bool) or not isinstance(self.ttl, int) or not 1 <= self.ttl < 2**31:
            raise UsageError(f"{shown(self.ttl)} cannot be a TTL: it is a number of seconds, at least 1.")
        values = tuple(sorted({TYPES[kind](str(value)) for value in given}))
        if kind == "CNAME" and len(values) > 1:
            raise UsageError(f"A CNAME of {shown(self.name)} has one value, not {len(values)}.")
        object.__setattr__(self, "name", owner(self.name, kind))
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "values", values)

    @property
    def key(self) -> tuple[str, str]:
        """What there is one of in a zone: name and type."""
        return self.name, self.type


def reverse(address: str) -> str:
    """Return the name that the PTR of an address has: ``1.2.0.192.in-addr.arpa``."""
    return ipaddress.ip_address(address).reverse_pointer


def owners(names: Iterable[str]) -> set[str]:
    """Return names as records have them: an address becomes the name of its PTR."""
    return {reverse(address) if (address := _address_of(name)) else name for name in names}


def of(
    session: Session,
    only: Collection[str] | None = None,
    instead: Mapping[tuple[str, str], Record | None] | None = None,
) -> list[Record]:
    """Compute every record that the registry asks for, sorted.

    A name of a node or guest gets A and AAAA with the addresses at which the node's proxy answers. Addresses of nodes
    and guests get a PTR. A name with values of its own beats what is computed.

    :param session: of :class:`corpus.controller.registry.store.Registry`
    :param only: those of these names alone, which takes as long as there are names; an address stands for its PTR
    :param instead: what names with values of their own shall have in the place of what the registry says, by name and
        type; None: nothing
    :raises UsageError: a name in the registry cannot be a record
    """
    only = None if only is None else owners(only)
    own = {record.key: record for record in _free(session, only)} | dict(instead or {})
    found = {key: record for key, record in own.items() if record is not None}
    for record in [*_named(session, only), *_pointers(session, only)]:
        found.setdefault(record.key, record)
    return sorted(found.values())


def _free(session: Session, only: Collection[str] | None) -> Iterator[Record]:
    """Names with values of their own."""
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    wanted = select(DnsName.fqdn, DnsName.kind, DnsName.values, DnsName.ttl).where(DnsName.values.is_not(None))
    if only is not None:
        wanted = wanted.where(DnsName.fqdn.in_(only))
    for fqdn, kind, values, ttl in session.execute(wanted):
        yield from _expanded(fqdn, kind, values or [], ttl)


def _expanded(fqdn: str, kind: str, values: list[str], ttl: int) -> Iterator[Record]:
    if kind != "address":
        yield Record(fqdn, kind, tuple(values), ttl)
        return
    for version, family in ((4, "A"), (6, "AAAA")):
        own = tuple(value for value in values if (":" in value) == (version == 6))
        if own:
            yield Record(fqdn, family, own, ttl)


def _named(session: Session, only: Collection[str] | None) -> Iterator[Record]:
    """Names that stand for a node or a guest; a guest answers at its node."""
    from sqlalchemy import func, select

    from corpus.controller.registry.models import ComputeNode, DnsName, Guest

    target = func.coalesce(Guest.minion_id, ComputeNode.name)
    wanted = (
        select(DnsName.fqdn, DnsName.kind, DnsName.ttl, ComputeNode.address, ComputeNode.address6, target)
        .outerjoin(Guest, DnsName.guest_id == Guest.id)
        .join(ComputeNode, ComputeNode.id == func.coalesce(DnsName.node_id, Guest.node_id))
    )
    if only is not None:
        wanted = wanted.where(DnsName.fqdn.in_(only))
    for fqdn, kind, ttl, address, address6, name in session.execute(wanted):
        if kind in ("CNAME", "NS", "PTR"):
            yield Record(fqdn, kind, (name,), ttl)
        elif kind in ("address", "A", "AAAA"):
            # A node's ``address`` may be of either version.
            addresses = [one for one in (address, address6) if one]
            yield from (
                record for record in _expanded(fqdn, "address", addresses, ttl) if kind in ("address", record.type)
            )
        else:
            raise UsageError(f"The {kind} of {fqdn} in the registry stands for a machine: give it values instead.")


def _pointers(session: Session, only: Collection[str] | None) -> Iterator[Record]:
    """What addresses of nodes and guests are called."""
    from sqlalchemy import or_, select

    from corpus.controller.registry.models import ComputeNode, Guest

    addresses = [found for one in only or () if (found := _address_of(one))]
    names: dict[str, list[str]] = {}
    for kind, name in ((ComputeNode, ComputeNode.name), (Guest, Guest.minion_id)):
        wanted = select(name, kind.address, kind.address6)
        if only is not None:
            wanted = wanted.where(or_(kind.address.in_(addresses), kind.address6.in_(addresses)))
        for called, address4, address6 in session.execute(wanted):
            # A minion's id need not be a name of the DNS.
            for address in filter(None, (address4, address6) if "." in called else ()):
                if only is None or address in addresses:
                    names.setdefault(address, []).append(called)
    for address, several in names.items():
        yield Record(address, "PTR", tuple(several))


def _address_of(name: str) -> str | None:
    """The address that a name is the PTR of, or that it is; None when it is neither."""
    labels = name.removesuffix(".").split(".")
    if name.endswith(".in-addr.arpa"):
        name = ".".join(labels[-3::-1])
    elif name.endswith(".ip6.arpa"):
        digits = "".join(labels[-3::-1])
        name = ":".join(digits[at : at + 4] for at in range(0, len(digits), 4))
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def owner(name: object, kind: str) -> str:
    """A name as a record of that type has it; an address becomes the name of its PTR.

    :raises UsageError: it cannot be
    """
    text = str(name).lower().removesuffix(".")
    if kind == "PTR":
        try:
            return reverse(text)
        except ValueError:
            pass
    return domain_name(text)


def _host(text: str) -> str:
    name = text.lower().removesuffix(".")
    if "." not in name or name.startswith("*"):
        raise UsageError(f"{shown(text)} is not the whole name of a host, such as www.example.org.")
    return domain_name(name) + "."


def _address(version: int) -> Callable[[str], str]:
    def checked(text: str) -> str:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            found = None
        if found is None or found.version != version or getattr(found, "ipv4_mapped", None) or "%" in text:
            raise UsageError(f"{shown(text)} is not an IPv{version} address.")
        return str(found)

    return checked


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise UsageError(f"{shown(text)} cannot be the {what}: it is a number from 0 to 65535.")
    return int(text)


def _mx(text: str) -> str:
    words = text.split()
    if len(words) != 2:
        raise UsageError(
            f"{shown(text)} is no value of an MX: write preference and host, such as '10 mail.example.org'."
        )
    return f"{_number(words[0], 'preference')} {'.' if words[1] == '.' else _host(words[1])}"


def _srv(text: str) -> str:
    words = text.split()
    if len(words) != 4:
        raise UsageError(
            f"{shown(text)} is no value of an SRV: write priority, weight, port and host, "
            "such as '0 5 5060 sip.example.org'."
        )
    numbers = [_number(word, what) for word, what in zip(words, ("priority", "weight", "port"), strict=False)]
    return " ".join([*map(str, numbers), "." if words[3] == "." else _host(words[3])])


def _caa(text: str) -> str:
    found = _CAA.fullmatch(text.strip())
    if not found or int(found["flags"]) > 255 or not found["value"].isascii() or not found["value"].isprintable():
        raise UsageError(
            f"{shown(text)} is no value of a CAA: write flags, tag and value, such as '0 issue \"letsencrypt.org\"'."
        )
    return f'{int(found["flags"])} {found["tag"]} "{found["value"].strip(chr(34))}"'


def _txt(text: str) -> str:
    """Quote a text as a zone file has it: strings of at most 255 bytes, all but printable ASCII escaped."""
    if text.startswith('"'):
        strings = _strings(text)
    else:
        whole = text.encode()
        strings = [whole[start : start + 255] for start in range(0, len(whole), 255)] or [b""]
    if sum(len(one) + 1 for one in strings) > 16000:
        raise UsageError(f"{shown(text)} is too long for a TXT: it may have some 16,000 bytes.")
    return " ".join(f'"{"".join(map(_escaped, one))}"' for one in strings)


def _strings(text: str) -> list[bytes]:
    rest, found = text.encode(), []
    while rest:
        match = _STRING.match(rest)
        if not match:
            raise UsageError(f"{shown(text)} is not quoted as in a zone file: write it without quotes.")
        found.append(_ESCAPE.sub(_unescaped, match[1]))
        rest = rest[match.end() :]
    if any(len(one) > 255 for one in found):
        raise UsageError(f"{shown(text)} has a string of more than 255 bytes: write it without quotes.")
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    if not match[1].isdigit():
        return match[1]
    if int(match[1]) > 255:
        raise UsageError(f"\\{match[1].decode()} in a TXT is no byte: it goes up to \\255.")
    return bytes([int(match[1])])


def _escaped(byte: int) -> str:
    if byte in b'"\\':
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}"


#: The types that corpus writes, and what brings a value of each into its canonical form
TYPES: dict[str, Callable[[str], str]] = {
    "A": _address(4),
    "AAAA": _address(6),
    "CAA": _caa,
    "CNAME": _host,
    "MX": _mx,
    "NS": _host,
    "PTR": _host,
    "SRV": _srv,
    "TXT": _txt,
}
