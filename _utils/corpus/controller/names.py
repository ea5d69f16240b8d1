"""Names in DNS: kept as the registry says, zones made and signed, and free names, which stand for no machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import operations
from corpus.controller.dns import records, zones
from corpus.controller.dns.records import Record
from corpus.controller.operations import Run, Step
from corpus.controller.revisions import unchanged
from corpus.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import ComputeNode, DnsName, Guest

#: Kinds of records that stand for a machine, or in the place of one.
_ADDRESSES = ("address", "A", "AAAA", "CNAME")


def synchronize(
    cloud: Cloud,
    only: Iterable[str] | None = None,
    zone: str | None = None,
    plan: bool = False,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make what is ours in DNS what the registry says; return what changed, by name and type.

    :param only: names and addresses that are looked at; None: all of them
    :param zone: this one alone
    :param plan: only find out what would change
    :param note: is told what is left to others, because it is in no zone of ours
    """
    server = cloud.dns()
    if server is None:
        return {}
    chosen = None if only is None else records.owners(only)

    def wanted() -> list[Record]:
        with cloud.registry.reading() as session:
            return records.of(session, chosen)

    if zone is not None:
        return zones.reconcile(wanted, zones.zone_name(zone), server, plan=plan, only=chosen).changes
    left: list[Record] = []
    changes: dict[str, Any] = {}
    for differences in zones.reconcile_all(wanted, server, plan, chosen, left.append):
        changes |= differences.changes
    pointers = {one.name for one in left if one.type == "PTR"}
    if pointers:
        note(f"No reverse zone of ours has the PTR {zones.some(pointers)}: left out. mc_dns.create_zone makes one.")
    if others := {one.name for one in left} - pointers:
        note(f"No zone of ours has {zones.some(others)}: their people point them to the node.")
    return changes


def registered(run: Run, only: Iterable[str | None]) -> dict[str, Any]:
    """Make DNS what the registry says of some names and addresses, in a step; None among them is left out."""
    return synchronize(run.cloud, [name for name in only if name], note=run.note)


def linking(
    arguments: Mapping[str, Any],
    bearer: Callable[[Session, Run], Guest | ComputeNode],
    then: Sequence[Callable[[Run], Any]] = (),
) -> list[Step]:
    """Return the steps that give a guest or a node one more name: in the registry, in DNS, and what else hangs on it.

    :param arguments: of the operation: ``fqdn``
    :param bearer: finds what bears it
    :param then: is to be done whenever its names change: step *traffic*
    """
    fqdn = name_of(arguments)

    def free(run: Run) -> bool:
        from sqlalchemy import select

        from corpus.controller.registry.models import DnsName

        with run.cloud.registry.reading() as session:
            at = bearer(session, run)
            taken = session.scalar(select(DnsName).where(DnsName.fqdn == fqdn, DnsName.kind.in_(_ADDRESSES)))
            if taken is not None and taken not in at.names:
                raise UsageError(f"The name {fqdn} is taken already.")
            return taken is not None

    def register(run: Run) -> str:
        from corpus.controller.registry.models import DnsName

        with run.cloud.registry.session() as session:
            at = bearer(session, run)
            at.names.append(DnsName(fqdn=fqdn))
        return fqdn

    def unregister(run: Run) -> None:
        forget(run, fqdn, bearer)
        registered(run, [fqdn])
        for one in then:
            one(run)

    return [
        Step("registry", free, register, unregister, repeatable=True),
        Step("DNS", None, lambda run: registered(run, [fqdn]), repeatable=True),
        *(Step("traffic", None, one, repeatable=True) for one in then),
    ]


def forget(run: Run, fqdn: str, bearer: Callable[[Session, Run], Guest | ComputeNode]) -> None:
    """Take a name from a guest or a node, in the registry."""
    with run.cloud.registry.session() as session:
        at = bearer(session, run)
        for row in list(at.names):
            if row.fqdn == fqdn:
                session.delete(row)


def name_of(arguments: Mapping[str, Any]) -> str:
    """The name that is meant: ``fqdn``.

    :raises UsageError: it is none
    """
    return identifiers.domain_name(str(arguments.get("fqdn")).lower().removesuffix("."))


@operations.kind("dns.add", subject=lambda arguments: f"name:{_asked(arguments).name}")
def add(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Add values to a free record, which is made if need be.

    ``name``, ``type``, ``values``, ``ttl`` (None: the one that it has), ``replace``: these values instead of those that
    it has, ``was``: the digest of those that who asks knows (see :mod:`corpus.controller.revisions`).
    """
    asked = _asked(arguments)
    steps = _steps(asked.name, asked.type, lambda former: _with(asked, former, arguments))

    def same(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            unchanged(arguments["was"], content(session, asked.name, asked.type))
        return True

    first = [Step("see that nobody changed it", same, repeatable=True)] if arguments.get("was") else []
    return [*first, *steps]


def content(session: Session, name: str, kind: str) -> dict[str, Any] | None:
    """Return the values and the TTL of a free record, or None when there is none.

    :param name: the whole name, as the registry has it
    """
    found = _kept(session, name, kind)
    return None if found is None else {"values": list(found.values), "ttl": found.ttl}


@operations.kind("dns.remove", subject=lambda arguments: f"name:{_named(arguments)[0]}")
def remove(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Remove a free record, or some of its values.

    ``name``, ``type``, ``values`` (None: all of them).
    """
    name, kind = _named(arguments)
    return _steps(name, kind, lambda former: _without(name, kind, former, arguments.get("values")))


def _zone(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The zone that is meant, by its own name."""
    given = arguments.get("zone")
    return {"zone": zones.zone_name(str(given))} if given is not None else {}


def _new_zone(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same, and what the settings say where nothing was."""
    servers = arguments.get("nameservers") or list(cloud.settings.nameservers)
    return {"nameservers": servers, **_zone(cloud, {"zone": arguments.get("zone") or cloud.settings.zone})}


def _of_zone(arguments: Mapping[str, Any]) -> str:
    return f"zone:{arguments['zone']}" if arguments.get("zone") else "dns"


@operations.kind("dns.create_zone", subject=_of_zone, resolve=_new_zone)
def create_zone(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """A zone, or other nameservers of one that we made: ``zone``, ``nameservers``, ``hostmaster``."""

    def create(run: Run, plan: bool = False) -> dict[str, Any]:
        given, server = run.arguments, run.cloud.name_server()
        return zones.create(server, given["zone"], given["nameservers"], given.get("hostmaster") or "", plan)

    return [Step("zone", lambda run: not create(run, plan=True), create, repeatable=True)]


@operations.kind("dns.delete_zone", subject=_of_zone, resolve=_zone, forward=True)
def delete_zone(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """A zone, and all that is in it: ``zone``, ``force`` (also what others made)."""

    def delete(run: Run, plan: bool = False) -> dict[str, Any]:
        server = run.cloud.name_server()
        return zones.delete(server, run.arguments["zone"], run.arguments.get("force") is True, plan)

    return [Step("zone", lambda run: not delete(run, plan=True), delete, repeatable=True)]


@operations.kind("dns.dnssec", subject=_of_zone, resolve=_zone)
def dnssec(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Signatures of a zone, or none: ``zone``, ``on``. Facts have what the zone above needs, as ``ds``."""

    def sign(run: Run, plan: bool = False) -> dict[str, Any]:
        server = run.cloud.name_server()
        found = zones.sign(server, run.arguments["zone"], run.arguments.get("on") is True, plan)
        run.data["ds"] = found["ds"]
        return dict(found["changes"])

    return [Step("signatures", lambda run: not sign(run, plan=True), sign, repeatable=True)]


@operations.kind("dns.apply", subject=_of_zone, resolve=_zone)
def apply(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Everything that is ours in DNS, or in one ``zone``, as the registry says."""

    def register(run: Run, plan: bool = False) -> dict[str, Any]:
        run.cloud.name_server()
        return synchronize(run.cloud, zone=run.arguments.get("zone"), plan=plan, note=run.note)

    return [Step("names", lambda run: not register(run, plan=True), register, repeatable=True)]


def _steps(name: str, kind: str, change: Any) -> list[Step]:
    """Keep in the registry what ``change`` makes of the former record (None: there is none), then register it."""

    def former(run: Run) -> Record | None:
        with run.cloud.registry.reading() as session:
            return _kept(session, name, kind)

    def has_home(run: Run) -> bool:
        server = run.cloud.name_server()
        if zones.home(name, [zone.name for zone in server.zones()]) is None:
            raise UsageError(f"No zone of {server.url} has {name}: mc_dns.create_zone makes one.")
        return True

    def is_kept(run: Run) -> bool:
        had = former(run)
        return bool(change(had) == had)

    def keep(run: Run) -> None:
        had = former(run)
        run.remember(had=None if had is None else [list(had.values), had.ttl])
        _keep(run.cloud, name, kind, change(had))

    def forget(run: Run) -> None:
        if "had" in run.data:
            _keep(run.cloud, name, kind, _remembered(run))

    def is_registered(run: Run) -> bool:
        return not _reconciled(run, lambda: change(former(run)), plan=True)

    def register(run: Run) -> dict[str, Any]:
        return _reconciled(run, lambda: former(run))

    def take_back(run: Run) -> None:
        _reconciled(run, lambda: _remembered(run) if "had" in run.data else former(run))

    def _remembered(run: Run) -> Record | None:
        had = run.data["had"]
        return None if had is None else Record(name, kind, tuple(had[0]), had[1])

    def _reconciled(run: Run, ours: Any, plan: bool = False) -> dict[str, Any]:
        """Reconcile the name as if its free record of our type were that."""

        def wanted() -> list[Record]:
            own = ours()
            with run.cloud.registry.reading() as session:
                return records.of(session, [name], {(name, kind): own})

        server = run.cloud.name_server()
        changes: dict[str, Any] = {}
        for differences in zones.reconcile_all(wanted, server, plan=plan, only=[name]):
            changes |= differences.changes
        return changes

    return [
        Step("find its zone", has_home, repeatable=True),
        Step("keep it in the registry", is_kept, keep, forget, repeatable=True),
        Step("register it", is_registered, register, take_back, repeatable=True),
    ]


def _asked(arguments: Mapping[str, Any]) -> Record:
    return Record(
        str(arguments.get("name")),
        str(arguments.get("type")),
        arguments.get("values") or (),
        records.TTL if arguments.get("ttl") is None else arguments["ttl"],
    )


def _named(arguments: Mapping[str, Any]) -> tuple[str, str]:
    """Name and type as a record has them."""
    kind = str(arguments.get("type")).upper()
    if kind not in records.TYPES:
        raise UsageError(
            f"{arguments.get('type')!r} is no type of record that corpus knows: {', '.join(records.TYPES)}."
        )
    return records.owner(arguments.get("name"), kind), kind


def _with(asked: Record, former: Record | None, arguments: Mapping[str, Any]) -> Record:
    if former is None:
        return asked
    values = asked.values if arguments.get("replace") else (*former.values, *asked.values)
    return Record(asked.name, asked.type, values, former.ttl if arguments.get("ttl") is None else asked.ttl)


def _without(name: str, kind: str, former: Record | None, values: Sequence[str] | None) -> Record | None:
    if former is None or values is None:
        return None
    gone = Record(name, kind, tuple(values)).values
    left = tuple(value for value in former.values if value not in gone)
    return Record(name, kind, left, former.ttl) if left else None


def _row(session: Session, name: str, kind: str) -> DnsName | None:
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    kinds = (kind, "address") if kind in ("A", "AAAA") else (kind,)
    found = {
        row.kind: row for row in session.scalars(select(DnsName).where(DnsName.fqdn == name, DnsName.kind.in_(kinds)))
    }
    if any(row.values is None for row in found.values()):
        raise UsageError(f"The {kind} of {name} is that of a machine: unlink it from the guest or node first.")
    return found.get(kind)


def _kept(session: Session, name: str, kind: str) -> Record | None:
    """The free record in the registry."""
    found = _row(session, name, kind)
    return None if found is None else Record(name, kind, tuple(found.values or ()), found.ttl)


def _keep(cloud: Cloud, name: str, kind: str, record: Record | None) -> None:
    """Make the registry have that free record, or none."""
    from corpus.controller.registry.models import DnsName

    with cloud.registry.session() as session:
        found = _row(session, name, kind)
        if record is None:
            if found is not None:
                session.delete(found)
        elif found is None:
            session.add(DnsName(fqdn=name, kind=kind, values=list(record.values), ttl=record.ttl))
        else:
            found.values, found.ttl = list(record.values), record.ttl


def listed(cloud: Cloud, zone: str | None = None) -> dict[str, Any]:
    """What is on the server, by zone, name and type: values, TTL, and whether it is ours."""
    server = cloud.name_server()
    chosen = [zones.zone_name(zone)] if zone is not None else [one.name for one in server.zones()]
    return {
        name: {
            f"{one.name} {one.type}": {"values": list(one.values), "ttl": one.ttl, "ours": one.ours}
            for one in sorted(server.rrsets(name), key=lambda one: (one.name.split(".")[::-1], one.type))
        }
        for name in chosen
    }
