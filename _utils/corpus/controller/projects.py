"""Projects as the controller knows them: whose they are, on which guests they run, and how their deployments went.

The project itself lives on its guests, under ``mc_project`` there. What is done to it from here are operations.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import admission, names, operations, owners, wiring
from corpus.controller.applications import NAMED, subjects
from corpus.controller.operations import Run, Step
from corpus.errors import Conflict, CorpusError, MinionFailed, UsageError
from corpus.identifiers import shown
from corpus.secrets import telling

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import Deployment, Guest, Project

#: Seconds that a guest may take to make a project ready, and to remove it.
READYING, REMOVING = 300, 300


def without_secrets(settings: Mapping[str, Any] | None) -> None:
    """See that settings of a project tell no secrets: they are kept in the journal and published to every minion.

    :raises UsageError: they may
    """
    for key in settings or {}:
        if key == "env" or telling(key):
            raise UsageError(
                f"{shown(key)} may hold secrets, which do not travel this way: set it on the guest (mc_project.env_set), "
                "or push it with the project's pillar."
            )


# --- create -----------------------------------------------------------------------------------------------------------


@operations.kind("project.create")
def creation(arguments: Mapping[str, Any]) -> list[Step]:
    """A project: name, owners (login names), settings."""
    identifiers.project_name(arguments.get("name"))
    for owner in arguments.get("owners") or ():
        owners.login(owner)
    without_secrets(arguments.get("settings"))
    return [
        Step("register the project", _registered, _register, _unregister),
        Step("let its owners in", _owned, _own, None, repeatable=True),
    ]


def _registered(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        there = _find(session, run.arguments["name"])
        wanted = run.arguments.get("settings")
        same = there is not None and (wanted is None or dict(there.settings) == wanted)
    if there is not None:
        _is_theirs(run)
    return same


def _is_theirs(run: Run) -> None:
    """See that a project which is there already is for who asks to make: everybody may ask for new ones.

    :raises UsageError: it is somebody else's
    """
    from corpus.controller import identities, permissions

    if run.who == "root":
        return
    asking = identities.person(run.cloud, run.who)
    with run.cloud.registry.reading() as session:
        has = permissions.role(session, asking, "project", run.arguments["name"])
    if has not in (permissions.SYSADMIN, permissions.OWNER):
        raise UsageError(f"The name {run.arguments['name']} is taken: choose another one.")


def _register(run: Run) -> str:
    from corpus.controller.registry.models import Project

    with run.cloud.registry.reading() as session:
        former = _find(session, run.arguments["name"])
    run.remember(former=dict(former.settings) if former is not None else None)
    with run.cloud.registry.session() as session:
        there = _find(session, run.arguments["name"])
        if there is None:
            there = Project(name=run.arguments["name"], settings=dict(run.arguments.get("settings") or {}))
            session.add(there)
        else:
            there.settings = dict(run.arguments["settings"])
        session.flush()
        return there.uuid


def _unregister(run: Run) -> None:
    if "former" not in run.data:
        return
    with run.cloud.registry.session() as session:
        there = _find(session, run.arguments["name"])
        if there is None:
            return
        if run.data["former"] is not None:
            there.settings = dict(run.data["former"])
        else:
            session.delete(there)


def _owners(run: Run) -> list[str]:
    return list(run.arguments.get("owners") or ([run.who.lower()] if run.who not in ("root", "unknown") else []))


def _owned(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        there = _find(session, run.arguments["name"])
        if there is None:
            return False
        has = {role.owner.name for role in there.roles if role.name == "owner"}
        return set(_owners(run)) <= has


def _own(run: Run) -> str:
    names = _owners(run)
    with run.cloud.registry.session() as session:
        there, publics = project(session, run.arguments["name"]), []
        for name in names:
            person = owners.person(session, name, make=True)
            owners.give(session, person, "owner", "project.grant", there)
            publics += [key.public.strip() for key in admission.personal(person)]
        where = admission.in_project(there)
    try:
        admission.settle(run.cloud, where if publics else (), publics)
    except CorpusError as err:
        run.say(str(err))
    return f"owners: {', '.join(names)}" if names else "nobody but root"


# --- place ------------------------------------------------------------------------------------------------------------


@operations.kind("project.place", subject=subjects, resolve=NAMED)
def placing(arguments: Mapping[str, Any]) -> list[Step]:
    """A project on a guest: name, guest, domain, settings."""
    identifiers.project_name(arguments.get("name"))
    if arguments.get("domain"):
        identifiers.domain_name(arguments["domain"])
    without_secrets(arguments.get("settings"))
    return [
        Step("look at both", _placeable),
        Step("register the placement", _placed, _place, _displace),
        Step("name it", _named, _name, _unname),
        Step("make it ready on the guest", None, _ready, _remove),
    ]


def settled(run: Run) -> dict[str, Any]:
    """Make a project known, place it on a guest and make it ready there, as far as it is not; return its remotes."""
    from corpus.controller.registry.models import Project

    with run.cloud.registry.session() as session:
        if _find(session, run.arguments["name"]) is None:
            session.add(Project(name=str(run.arguments["name"])))
    for check, do in ((_placed, _place), (_named, _name)):
        if not check(run):
            do(run)
    return _ready(run)


def _placeable(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        project(session, run.arguments["name"])
        there = wiring.guest(session, run.arguments["guest"])
        if there.state != "running":
            raise UsageError(f"The guest {there.name} is {there.state}: start it first.")
    return True


def _placed(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        return _placement(session, run) is not None


def _place(run: Run) -> None:
    from corpus.controller.registry.models import Placement

    with run.cloud.registry.session() as session:
        there, at = project(session, run.arguments["name"]), wiring.guest(session, run.arguments["guest"])
        session.add(Placement(project_id=there.id, guest_id=at.id))


def _displace(run: Run) -> None:
    with run.cloud.registry.session() as session:
        there = _placement(session, run)
        if there is not None:
            session.delete(there)


def _domain(session: Session, run: Run) -> str:
    """The name that the project is served by: the guest's own for its first project, one below it for the others."""
    if run.arguments.get("domain"):
        return str(run.arguments["domain"])
    at = wiring.guest(session, run.arguments["guest"])
    others = [one for one in at.placements if one.project.name != run.arguments["name"]]
    return f"{_label(run)}.{host(at)}" if others else host(at)


def _label(run: Run) -> str:
    """The project's name as a label of DNS, which knows no underscore."""
    return str(run.arguments["name"]).replace("_", "-")


def _named(run: Run) -> bool:
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    with run.cloud.registry.reading() as session:
        domain, at = _domain(session, run), wiring.guest(session, run.arguments["guest"])
        if domain == at.minion_id:
            return True
        found = session.scalar(select(DnsName).where(DnsName.fqdn == domain, DnsName.kind == "address"))
        if found is not None and found.guest_id != at.id:
            raise UsageError(f"The name {domain} is taken by something else: choose another one with domain=.")
        return found is not None


def _name(run: Run) -> str:
    from corpus.controller.registry.models import DnsName

    with run.cloud.registry.reading() as session:
        domain = _domain(session, run)
    run.remember(named=domain)
    with run.cloud.registry.session() as session:
        at = wiring.guest(session, run.arguments["guest"])
        session.add(DnsName(fqdn=domain, kind="address", guest_id=at.id))
        node = at.node.name
    _publish(run, node, [domain])
    return domain


def _unname(run: Run) -> None:
    _forget_names(run, [run.data["named"]] if "named" in run.data else [])


def _forget_names(run: Run, fqdns: Sequence[str]) -> None:
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    if not fqdns:
        return
    with run.cloud.registry.session() as session:
        at = wiring.guest(session, run.arguments["guest"])
        node = at.node.name
        for found in session.scalars(select(DnsName).where(DnsName.fqdn.in_(fqdns), DnsName.guest_id == at.id)):
            session.delete(found)
    _publish(run, node, fqdns)


def _publish(run: Run, node: str, fqdns: Iterable[str]) -> None:
    """Make DNS and the node's proxy what the registry says."""
    names.registered(run, fqdns)
    wiring.traffic(run.cloud, node)


def _ready(run: Run) -> dict[str, Any]:
    with run.cloud.registry.reading() as session:
        there, at = project(session, run.arguments["name"]), wiring.guest(session, run.arguments["guest"])
        minion, domain = at.minion_id, _domain(session, run)
        settings = {**there.settings, **(run.arguments.get("settings") or {})}
        if at.platform is not None:
            settings.setdefault("operation_mode", at.platform.operation_mode)
            settings.setdefault("default_env", at.platform.type)
        keys = admission.keys_of(there, at)
        remotes = pushed_to(at, there.name)
    settings.setdefault("domain", domain)
    if keys:
        settings.setdefault("authorized_keys", keys)
    if run.arguments["name"] not in run.cloud.minions.call(minion, "mc_project.list_projects"):
        run.remember(new=True)
    run.cloud.minions.call(minion, "mc_project.init_project", run.arguments["name"], timeout=READYING, **settings)
    run.data["remotes"], run.data["domain"] = remotes, settings["domain"]
    return {"remotes": remotes}


def _remove(run: Run) -> None:
    """Take the project off the guest, when it was us who brought it there."""
    if run.data.get("new"):
        _destroy_there(run)


def _destroy_there(run: Run) -> str | None:
    name = run.arguments["name"]
    with run.cloud.registry.reading() as session:
        minion = wiring.guest(session, run.arguments["guest"]).minion_id
    if name not in run.cloud.minions.call(minion, "mc_project.list_projects"):
        return None
    report = run.cloud.minions.call(minion, "mc_project.destroy_project", name, confirm=name, timeout=REMOVING)
    return f"its last archive is {report['archive']} there" if report.get("archive") else None


# --- and away ---------------------------------------------------------------------------------------------------------


@operations.kind("project.unplace", subject=subjects, forward=True, resolve=NAMED)
def displacing(arguments: Mapping[str, Any]) -> list[Step]:
    """A project off a guest: name, guest, confirm."""
    _confirmed(arguments)
    return _away("")


def _away(suffix: str) -> list[Step]:
    return [
        Step(f"remove it from the guest{suffix}", _absent, _destroy_there),
        Step(f"forget the placement{suffix}", _not_placed, _forget_placement),
    ]


def _absent(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        return _placement(session, run) is None


def _not_placed(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        return _placement(session, run) is None


def _forget_placement(run: Run) -> None:
    """The names that it was given go with it."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Operation

    with run.cloud.registry.reading() as session:
        at = wiring.guest(session, run.arguments["guest"])
        wanted = select(Operation).where(
            Operation.kind == "project.place", Operation.subject == subjects(run.arguments)[0]
        )
        given = {
            one.data.get("named")
            for one in session.scalars(wanted)
            if one.arguments.get("guest") == run.arguments["guest"]
        } | {f"{_label(run)}.{host(at)}"}
        names = [one.fqdn for one in at.names if one.fqdn in given]
    _forget_names(run, names)
    _displace(run)


@operations.kind("project.destroy", subject=subjects, forward=True, resolve=NAMED)
def destruction(arguments: Mapping[str, Any]) -> list[Step]:
    """A project, from every guest and from the registry: name, confirm, guests."""
    _confirmed(arguments)
    steps: list[Step] = []
    for at in arguments.get("guests") or ():
        steps += [_at(step, str(at)) for step in _away(f" {at}")]
    return [*steps, Step("forget the project", _gone, _forget)]


def _at(step: Step, at: str) -> Step:
    """The same step, for that guest."""

    def on(run: Run) -> Run:
        return replace(run, arguments={**run.arguments, "guest": at})

    check, do = step.check, step.do
    assert check is not None
    assert do is not None
    return Step(step.name, lambda run: check(on(run)), lambda run: do(on(run)))


def _gone(run: Run) -> bool:
    with run.cloud.registry.reading() as session:
        return _find(session, run.arguments["name"]) is None


def _forget(run: Run) -> None:
    with run.cloud.registry.session() as session:
        session.delete(project(session, run.arguments["name"]))


def _confirmed(arguments: Mapping[str, Any]) -> None:
    name = identifiers.project_name(arguments.get("name"))
    if arguments.get("confirm") != name:
        raise UsageError(f"Its data would be removed: say so with confirm={name}.")


# --- deployments ------------------------------------------------------------------------------------------------------


def collect(cloud: Cloud, name: str, minion_id: str, limit: int = 20) -> list[str]:
    """Ask a guest how the deployments of a project went, and keep those that are new; return their ids.

    Nothing is asked, and nothing kept, of projects that are not placed there.

    :param limit: the last so many
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Deployment, Guest, Placement, Project

    with cloud.registry.reading() as session:
        found = session.execute(
            select(Placement.guest_id, Placement.project_id)
            .join(Guest, Guest.id == Placement.guest_id)
            .join(Project, Project.id == Placement.project_id)
            .where(Guest.minion_id == minion_id, Project.name == name)
        ).first()
    if found is None:
        return []
    records = cloud.minions.call(minion_id, "mc_project.history", name, limit=limit)
    if not isinstance(records, list):
        raise MinionFailed(f"mc_project.history on {minion_id} returned no list.", records)
    new: list[str] = []
    for record in reversed(records):
        try:
            with cloud.registry.session() as session:
                row = _deployment(record, name)
                there = select(Deployment.id).where(
                    Deployment.guest_id == found.guest_id,
                    Deployment.project_id == found.project_id,
                    Deployment.deployment_id == row.deployment_id,
                )
                if session.scalar(there) is None:
                    row.project_id = found.project_id
                    row.guest = session.get_one(Guest, found.guest_id)
                    session.add(row)
                    new.append(row.deployment_id)
        except Conflict:  # somebody else kept it in this moment
            continue
    return new


def _deployment(record: object, name: str) -> Deployment:
    """Return the row for what a guest tells of a deployment; a guest may tell anything."""
    from corpus.controller.registry.models import Deployment, now

    if not isinstance(record, Mapping) or record.get("name", name) != name:
        raise CorpusError(f"What a guest tells of a deployment of {name} is none.")
    seconds, when = record.get("seconds"), str(record.get("when") or "")
    try:
        started = datetime.datetime.fromisoformat(when.replace("Z", "+00:00"))
    except ValueError:  # a guest may tell anything
        started = now()
    if started.tzinfo is None:
        started = started.replace(tzinfo=datetime.timezone.utc)
    return Deployment(
        deployment_id=identifiers.release_id(record.get("deployment")),
        result=record.get("result") is not False,
        who=str(record.get("who") or "")[:100] or None,
        started=started,
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        report=dict(record),
    )


def deployments(
    cloud: Cloud, name: str, at: str | None = None, limit: int = 20, refresh: bool = False
) -> list[dict[str, Any]]:
    """Return the deployments of a project, newest first.

    :param at: only those on this guest
    :param limit: at most so many
    :param refresh: ask the guests first, for what was not told
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Deployment

    with cloud.registry.reading() as session:
        there = project(session, name)
        minions = [one.guest.minion_id for one in there.placements if at in (None, one.guest.name)]
    for minion in minions if refresh else ():
        collect(cloud, name, minion)
    wanted = select(Deployment).where(Deployment.project_id == there.id)
    if at is not None:
        wanted = wanted.where(Deployment.guest_name == at)
    with cloud.registry.reading() as session:
        return [
            {
                "deployment": row.deployment_id,
                "guest": row.guest_name,
                "kind": row.report.get("kind"),
                "result": row.result,
                "comment": row.report.get("comment"),
                "revision": row.report.get("revision"),
                "who": row.who,
                "when": row.started.isoformat() if row.started else None,
                "seconds": row.seconds,
            }
            for row in session.scalars(
                wanted.order_by(Deployment.started.desc(), Deployment.deployment_id.desc()).limit(limit)
            )
        ]


# --- looking ----------------------------------------------------------------------------------------------------------


def listed(cloud: Cloud) -> dict[str, Any]:
    """Return every project: where it is, whose it is."""
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    from corpus.controller.registry.models import Placement, Project, Role

    wanted = select(Project).options(
        selectinload(Project.placements).joinedload(Placement.guest), selectinload(Project.roles).joinedload(Role.owner)
    )
    with cloud.registry.reading() as session:
        return {
            one.name: {
                "uuid": one.uuid,
                "guests": sorted(placed.guest.name for placed in one.placements),
                "roles": _roles(one),
            }
            for one in session.scalars(wanted.order_by(Project.name))
        }


def infos(cloud: Cloud, name: str) -> dict[str, Any]:
    """Return everything that the registry has of a project."""
    with cloud.registry.reading() as session:
        there = project(session, name)
        return {
            "name": there.name,
            "uuid": there.uuid,
            "settings": dict(there.settings),
            "roles": _roles(there),
            "guests": {
                one.guest.name: {"state": one.guest.state, "node": one.guest.node.name, **pushed_to(one.guest, name)}
                for one in there.placements
            },
        }


def _roles(there: Project) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for role in there.roles:
        found.setdefault(role.name, []).append(role.owner.name)
    return {name: sorted(owners) for name, owners in found.items()}


def guests_of(cloud: Cloud, name: str) -> list[str]:
    """Return the names of the guests that a project is on; none where there is no such project."""
    with cloud.registry.reading() as session:
        there = _find(session, identifiers.project_name(name))
        return sorted(one.guest.name for one in there.placements) if there else []


def placed_on(cloud: Cloud, name: str, at: str | None = None) -> list[str]:
    """Return the names of the guests that a project is on, or the one that is asked for.

    :raises UsageError: it is on none, or not on that one
    """
    found = guests_of(cloud, name)
    if at is not None and at not in found:
        raise UsageError(f"{name} is not placed on {identifiers.shown(at)}: mc_project.place puts it there.")
    if not found:
        raise UsageError(f"{name} is on no guest: mc_project.place puts it on one.")
    return [at] if at is not None else found


def pushed_to(at: Guest, name: str) -> dict[str, str]:
    """Return the urls that a project on a guest is pushed to."""
    return remotes(name, host(at), at.ssh_port or 22)


def remotes(name: str, host: str, port: int) -> dict[str, str]:
    """Return the urls of a project's repositories on a host, by what is pushed there."""
    base = f"ssh://{name}@{host}:{port}/srv/projects/{name}/git"
    return {"project": f"{base}/project.git", "pillar": f"{base}/pillar.git"}


def host(at: Guest) -> str:
    """Return the name of a guest in DNS."""
    names = sorted((one.fqdn for one in at.names if not one.fqdn.startswith("*.")), key=lambda name: (len(name), name))
    return at.minion_id if at.minion_id in names or not names else names[0]


def project(session: Session, name: object) -> Project:
    """Return a project by its name.

    :raises UsageError: there is none
    """
    found = _find(session, identifiers.project_name(name))
    if found is None:
        raise UsageError(f"There is no project {name!r}: mc_project.create makes one.")
    return found


def _find(session: Session, name: object) -> Project | None:
    from sqlalchemy import select

    from corpus.controller.registry.models import Project

    return session.scalar(select(Project).where(Project.name == name))


def _placement(session: Session, run: Run) -> Any:
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest, Placement, Project

    return session.scalar(
        select(Placement)
        .join(Guest, Guest.id == Placement.guest_id)
        .join(Project, Project.id == Placement.project_id)
        .where(Guest.name == run.arguments["guest"], Project.name == run.arguments["name"])
    )
