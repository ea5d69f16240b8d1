"""Zones: made, signed, exported, and kept like the registry.

What corpus writes into a zone bears its mark. It never changes or deletes what does not; where such an RRset is in the
way, it refuses in one sentence and writes nothing into that zone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from corpus.controller.dns.powerdns import Rrset, Server, Zone
from corpus.controller.dns.records import Record
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import domain_name, shown

#: Seconds that others may remember a zone's SOA and NS
AUTHORITY_TTL = 3600
#: Serial (the server counts), refresh, retry, expire, and for how long a name that does not exist is remembered
_TIMES = "0 10800 3600 604800 60"

#: Records, or what computes them once nobody else writes: then nothing that was asked for meanwhile is lost
Wanted = Iterable[Record] | Callable[[], Iterable[Record]]


@dataclass(frozen=True)
class Differences:
    """What a zone has, and should have instead.

    :param zone: its name, without the dot at its end
    :param added: records that were not there
    :param changed: what was there, and what comes instead
    :param removed: what nothing asks for any more
    :param kept: how many records are as they should be
    """

    zone: str
    added: tuple[Record, ...] = ()
    changed: tuple[tuple[Rrset, Record], ...] = ()
    removed: tuple[Rrset, ...] = ()
    kept: int = 0

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.added or self.changed or self.removed)

    @property
    def changes(self) -> dict[str, dict[str, str]]:
        """Old and new, by name and type, as Salt shows changes."""
        lines = {f"{one.name} {one.type}": {"old": "", "new": _line(one)} for one in self.added}
        lines |= {f"{new.name} {new.type}": {"old": _line(old), "new": _line(new)} for old, new in self.changed}
        lines |= {f"{one.name} {one.type}": {"old": _line(one), "new": ""} for one in self.removed}
        return dict(sorted(lines.items()))


def reconcile(
    wanted: Wanted, zone: str, server: Server, plan: bool = False, only: Collection[str] | None = None
) -> Differences:
    """Make what is ours in a zone what it should be; nothing is sent when it is so already.

    :param wanted: every record that should be ours; those of other zones are left out
    :param plan: only find out what would change
    :param only: look at these names alone, and let the others be
    :raises UsageError: there is no such zone, or a record cannot be in it
    :raises CorpusError: a record of somebody else is in the way
    """
    with nullcontext() if plan else server.writing():
        homes = [found.name for found in server.zones()]
        return _reconcile([one for one in _computed(wanted) if home(one.name, homes) == zone], zone, server, plan, only)


def reconcile_all(
    wanted: Wanted,
    server: Server,
    plan: bool = False,
    only: Collection[str] | None = None,
    left: Callable[[Record], None] = lambda record: None,
) -> list[Differences]:
    """Like :func:`reconcile`, in every zone of the server.

    What cannot be in one zone does not keep the others from being changed. Addresses (and PTRs) of names that are in no
    zone of the server are left to whoever has their zone: a guest may bear the name of a client.

    :param left: is told of each record that is left to others
    :raises CorpusError: another record is in no zone of the server, or it has none at all but reverse ones
    """
    with nullcontext() if plan else server.writing():
        zones = server.zones()
        homes = [found.name for found in zones]
        records: dict[str, list[Record]] = {name: [] for name in homes}
        foreign = {"PTR", "A", "AAAA"} if any(not name.endswith(".arpa") for name in homes) else {"PTR"}
        homeless = []
        for record in _computed(wanted):
            place = home(record.name, homes)
            if place is not None:
                records[place].append(record)
            elif only is None or record.name in only:
                if record.type in foreign:
                    left(record)
                else:
                    homeless.append(record.name)
        found, failures = [], []
        for name in homes:
            try:
                found.append(_reconcile(records[name], name, server, plan, only))
            except CorpusError as err:
                failures.append(str(err))
        if homeless:
            failures.append(f"No zone of {server.url} has {some(homeless)}: mc_dns.create_zone makes one.")
        if failures:
            raise CorpusError(" ".join(failures))
        return found


def home(name: str, zones: Iterable[str]) -> str | None:
    """The innermost of some zones that a name is in, or None."""
    known = set(zones)
    labels = name.split(".")
    return next((zone for at in range(len(labels)) if (zone := ".".join(labels[at:])) in known), None)


def create(
    server: Server, zone: str, nameservers: Sequence[str], hostmaster: str = "", plan: bool = False
) -> dict[str, Any]:
    """Make a zone, or give one that we made these nameservers; return what changed.

    :param zone: its name, or a network, whose reverse zone is meant: ``10.64.1.0/24``
    :param nameservers: whole names of the hosts that answer for it; the first one is the primary
    :param hostmaster: mail address of who answers for it; empty: ``hostmaster@<zone>``
    :raises UsageError: the zone was made by somebody else with other nameservers
    """
    name = zone_name(zone)
    if not nameservers:
        raise UsageError(f"The zone {name} needs a nameserver: name the hosts that answer for it.")
    servers = Record(name, "NS", tuple(nameservers)).values
    primary = Record(name, "NS", (nameservers[0],)).values[0]
    soa = f"{primary} {_mailbox(hostmaster or f'hostmaster@{name}')} {_TIMES}"
    with nullcontext() if plan else server.writing():
        there = server.zone(name)
        if there is None:
            if not plan:
                server.create(name, soa, servers, AUTHORITY_TTL)
            return {name: {"old": "", "new": f"nameservers {' '.join(servers)}"}}
        has = {one.type: one.values for one in server.rrsets(name, [name])}
        same_soa = _without_serial(has.get("SOA", ("",))[0]) == _without_serial(soa)
        if has.get("NS") == servers and (same_soa or not there.ours):
            return {}
        if not there.ours:
            raise UsageError(
                f"The zone {name} is there, made by somebody else, with other nameservers "
                f"({' '.join(has.get('NS', ()))}): corpus does not change them."
            )
        if not plan:
            server.set_authority(name, soa, servers, AUTHORITY_TTL)
        return {name: {"old": f"nameservers {' '.join(has.get('NS', ()))}", "new": f"nameservers {' '.join(servers)}"}}


def delete(server: Server, zone: str, force: bool = False, plan: bool = False) -> dict[str, Any]:
    """Delete a zone with all that is in it; return what changed.

    :param force: also what others made
    :raises UsageError: it is not ours, or others have records in it
    """
    name = zone_name(zone)
    with nullcontext() if plan else server.writing():
        there = server.zone(name)
        if there is None:
            return {}
        authority = {(name, "SOA"), (name, "NS")}
        others = [one.name for one in server.rrsets(name) if not one.ours and one.key not in authority]
        if not force and (others or not there.ours):
            what = f"has records of others ({some(others)})" if others else "was made by somebody else"
            raise UsageError(f"The zone {name} {what}: delete it with force=True all the same.")
        if not plan:
            server.delete(name)
        return {name: {"old": "there", "new": ""}}


def sign(server: Server, zone: str, on: bool = True, plan: bool = False) -> dict[str, Any]:
    """Turn DNSSEC on or off.

    :returns: ``changes``, and ``ds``: what the zone above must have before the signatures are of use. Take it out there,
        and wait for its TTL, before signing is turned off
    """
    name = zone_name(zone)
    with nullcontext() if plan else server.writing():
        signed = _existing(server, name).dnssec
        changes = {} if signed == on else {name: {"old": _signed(signed), "new": _signed(on)}}
        if changes and not plan:
            server.sign(name, on)
            signed = on
        return {"changes": changes, "ds": delegation(server, name) if signed else []}


def delegation(server: Server, zone: str) -> list[str]:
    """The DS records of a signed zone, as lines for the zone above; the digests that are of use today (SHA-256, SHA-384)."""
    found = [ds for key in server.keys(zone) if key.get("active") for ds in key.get("ds", [])]
    return [f"{zone}. {AUTHORITY_TTL} IN DS {ds}" for ds in found if ds.split()[2] in ("2", "4")]


def export(server: Server, zone: str) -> str:
    """A zone as a zone file, whoever wrote what is in it: SOA and NS first, then by name."""
    name = zone_name(zone)

    def order(line: str) -> tuple[bool, bool, bool, list[str], str]:
        owner, _ttl, _class, kind, *_ = line.split(None, 4)
        apex = owner == f"{name}."
        return (not (apex and kind == "SOA"), not (apex and kind == "NS"), not apex, owner.split(".")[::-1], line)

    lines = [line for line in server.export(name).splitlines() if line.strip() and not line.startswith(";")]
    return "\n".join([f"$ORIGIN {name}.", *sorted(lines, key=order)]) + "\n"


def zone_name(text: str) -> str:
    """The name of a zone, given as such or as the network whose reverse zone is meant.

    :raises UsageError: it is neither, or the network's reverse zone would have more than the network
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        if "/" in text:
            raise UsageError(f"{shown(text)} is not a network: write one such as 10.64.1.0/24 or fd00::/64.") from None
        name = domain_name(text.lower().removesuffix("."))
        if name.startswith("*"):
            raise UsageError(f"{shown(text)} cannot name a zone: it is a wildcard.") from None
        return name
    step = 8 if network.version == 4 else 4
    if network.prefixlen % step or not network.prefixlen:
        raise UsageError(f"{text} has no reverse zone of its own: its prefix is no multiple of {step}.")
    labels = network.network_address.reverse_pointer.split(".")
    return ".".join(labels[(network.max_prefixlen - network.prefixlen) // step :])


def reverse_of(pattern: str) -> str | None:
    """The reverse zone of a pattern of private networks, or None: its networks are public, or have nothing in common.

    :param pattern: as in the settings, ``10.64.N.0/24``: its zone is that of ``10.64.0.0/16``
    """
    first, last = (
        ipaddress.ip_network(pattern.replace("N", number)) for number in ("0", "ffff" if ":" in pattern else "255")
    )
    same = first.max_prefixlen - (int(first.network_address) ^ int(last.network_address)).bit_length()
    length = min(same, first.prefixlen)
    length -= length % (4 if first.version == 6 else 8)
    return zone_name(str(first.supernet(new_prefix=length))) if length and first.is_private else None


def _reconcile(
    records: Sequence[Record], zone: str, server: Server, plan: bool, only: Collection[str] | None
) -> Differences:
    names = None if only is None else sorted({name for name in only if f".{name}".endswith(f".{zone}")})
    if names == []:
        return Differences(zone)
    wanted = _by_key(record for record in records if names is None or record.name in names)
    if zone_record := next((key for key in wanted if key[0] == zone and key[1] in ("NS", "CNAME")), None):
        raise UsageError(f"The {zone_record[1]} of the zone {zone} itself is not a record: see mc_dns.create_zone.")
    # A few names are asked for one by one; many come with the whole zone, which is one answer.
    there = {one.key: one for one in server.rrsets(zone, names if names is not None and len(names) <= 20 else ())}
    if names is not None:
        there = {key: one for key, one in there.items() if key[0] in names}
    differences = _compared(zone, wanted, there)
    if differences and not plan:
        server.patch(zone, [one.key for one in differences.removed], _written(differences))
    return differences


def _compared(zone: str, wanted: dict[tuple[str, str], Record], there: dict[tuple[str, str], Rrset]) -> Differences:
    added, changed, kept, refused = [], [], 0, []
    kinds: dict[str, list[str]] = {}
    for name, kind in wanted:
        kinds.setdefault(name, []).append(kind)
    for name, several in kinds.items():
        if "CNAME" in several and len(several) > 1:
            raise UsageError(f"{name} is to have {' and '.join(sorted(several))}: a CNAME stands alone.")
    foreign: dict[str, list[Rrset]] = {}
    for one in there.values():
        if not one.ours:
            foreign.setdefault(one.name, []).append(one)
    for key, record in wanted.items():
        found = there.get(key)
        if found is not None and (found.values, found.ttl) == (record.values, record.ttl):
            kept += 1
            continue
        in_the_way = [
            one for one in foreign.get(record.name, ()) if one.type == record.type or "CNAME" in (one.type, record.type)
        ]
        if in_the_way:
            refused += [f"{one.name} {one.type}" for one in in_the_way]
        elif found is None:
            added.append(record)
        else:
            changed.append((found, record))
    if refused:
        raise CorpusError(
            f"In the zone {zone}, {some(refused)} was made by somebody else and is in the way: "
            "delete it there or choose another name. Nothing was written into the zone."
        )
    removed = [one for key, one in there.items() if one.ours and key not in wanted]
    return Differences(zone, tuple(sorted(added)), tuple(changed), tuple(removed), kept)


def _written(differences: Differences) -> list[Record]:
    return [*differences.added, *(new for _old, new in differences.changed)]


def _computed(wanted: Wanted) -> Iterable[Record]:
    return wanted() if callable(wanted) else wanted


def _by_key(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        if found.setdefault(record.key, record) != record:
            raise UsageError(f"{record.name} is to have two different {record.type} records: put their values in one.")
    return found


def _existing(server: Server, name: str) -> Zone:
    there = server.zone(name)
    if there is None:
        raise UsageError(f"There is no zone {name} on the DNS server {server.url}: mc_dns.create_zone makes it.")
    return there


def _mailbox(address: str) -> str:
    """A mail address as an SOA has it."""
    local, _, domain = address.partition("@")
    if not local or not domain or not local.isascii() or not all(one.isalnum() or one in "-_.+" for one in local):
        raise UsageError(f"{shown(address)} is not a mail address.")
    return local.replace(".", "\\.") + f".{domain_name(domain.lower().removesuffix('.'))}."


def _without_serial(soa: str) -> list[str]:
    words = soa.split()
    return words[:2] + words[3:]


def _signed(on: bool) -> str:
    return "signed" if on else "not signed"


def _line(one: Record | Rrset) -> str:
    return f"{one.ttl} {' | '.join(one.values)}"


def some(names: Collection[str]) -> str:
    """Some names, for a sentence: the first five, and how many more there are."""
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
