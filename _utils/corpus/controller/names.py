"""Names in DNS: kept as the registry says, zones made and signed, and free names, which stand for no machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus.controller import operations
from corpus.controller.dns import powerdns, records, zones
from corpus.controller.dns.records import Record
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import DnsName


def synchronize(cloud: Cloud, zone: str | None = None, plan: bool = False) -> dict[str, Any]:
    """Make what is ours in DNS what the registry says; return what changed, by name and type.

    :param zone: this one alone
    :param plan: only find out what would change
    """
    server = powerdns.configured(cloud.settings)

    def wanted() -> list[Record]:
        with cloud.registry.reading() as session:
            return records.of(session)

    if zone is not None:
        return zones.reconcile(wanted, zones.zone_name(zone), server, plan=plan).changes
    changes: dict[str, Any] = {}
    for differences in zones.reconcile_all(wanted, server, plan=plan):
        changes |= differences.changes
    return changes


@operations.kind("dns.add", subject=lambda arguments: f"name:{_asked(arguments).name}")
def add(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Add values to a free record, which is made if need be.

    ``name``, ``type``, ``values``, ``ttl`` (None: the one that it has), ``replace``: these values instead of those that
    it has.
    """
    asked = _asked(arguments)
    return _steps(asked.name, asked.type, lambda former: _with(asked, former, arguments))


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
        given, server = run.arguments, powerdns.configured(run.cloud.settings)
        return zones.create(server, given["zone"], given["nameservers"], given.get("hostmaster") or "", plan)

    return [Step("zone", lambda run: not create(run, plan=True), create, repeatable=True)]


@operations.kind("dns.delete_zone", subject=_of_zone, resolve=_zone, forward=True)
def delete_zone(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """A zone, and all that is in it: ``zone``, ``force`` (also what others made)."""

    def delete(run: Run, plan: bool = False) -> dict[str, Any]:
        server = powerdns.configured(run.cloud.settings)
        return zones.delete(server, run.arguments["zone"], run.arguments.get("force") is True, plan)

    return [Step("zone", lambda run: not delete(run, plan=True), delete, repeatable=True)]


@operations.kind("dns.dnssec", subject=_of_zone, resolve=_zone)
def dnssec(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Signatures of a zone, or none: ``zone``, ``on``. Facts have what the zone above needs, as ``ds``."""

    def sign(run: Run, plan: bool = False) -> dict[str, Any]:
        server = powerdns.configured(run.cloud.settings)
        found = zones.sign(server, run.arguments["zone"], run.arguments.get("on") is True, plan)
        run.data["ds"] = found["ds"]
        return dict(found["changes"])

    return [Step("signatures", lambda run: not sign(run, plan=True), sign, repeatable=True)]


@operations.kind("dns.apply", subject=_of_zone, resolve=_zone)
def apply(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Everything that is ours in DNS, or in one ``zone``, as the registry says."""

    def register(run: Run, plan: bool = False) -> dict[str, Any]:
        return synchronize(run.cloud, run.arguments.get("zone"), plan)

    return [Step("names", lambda run: not register(run, plan=True), register, repeatable=True)]


def _steps(name: str, kind: str, change: Any) -> list[Step]:
    """Keep in the registry what ``change`` makes of the former record (None: there is none), then register it."""

    def former(run: Run) -> Record | None:
        with run.cloud.registry.reading() as session:
            return _kept(session, name, kind)

    def has_home(run: Run) -> bool:
        server = powerdns.configured(run.cloud.settings)
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

        server = powerdns.configured(run.cloud.settings)
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
    server = powerdns.configured(cloud.settings)
    chosen = [zones.zone_name(zone)] if zone is not None else [one.name for one in server.zones()]
    return {
        name: {
            f"{one.name} {one.type}": {"values": list(one.values), "ttl": one.ttl, "ours": one.ours}
            for one in sorted(server.rrsets(name), key=lambda one: (one.name.split(".")[::-1], one.type))
        }
        for name in chosen
    }
