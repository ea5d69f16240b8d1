"""Who may do what: one table for the API, its pages and the runners that do what they ask for.

A person is a sysadmin (by their group, or by a role everywhere), or has roles in projects and platforms. What a role
allows, every stronger one does, too. Who may not even see a thing is told that it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, literal, or_, select, true, union_all
from sqlalchemy.orm import aliased

from corpus.controller.registry.models import (
    ROLES,
    ComputeNode,
    Guest,
    Operation,
    Owner,
    Placement,
    Platform,
    Project,
    Role,
)
from corpus.errors import Forbidden, NotThere
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute, Session

SYSADMIN, OWNER, DEPLOYER, VIEWER = ROLES


@dataclass(frozen=True)
class Person:
    """Who asks.

    :param name: the login name
    :param sysadmin: may do everything
    :param scopes: of the token that let them in; empty: everything that they may
    :param everywhere: has a role everywhere, and so sees everything
    :param owner: their id in the registry: databases know how many roles that one has, and none of a name
    """

    name: str
    sysadmin: bool = False
    scopes: tuple[str, ...] = ()
    everywhere: bool = False
    owner: int | None = None

    @property
    def sees_everything(self) -> bool:
        """Whether they may see everything that there is."""
        return self.sysadmin or self.everywhere


def person(session: Session, name: str, groups: Sequence[str], admins: str, scopes: Sequence[str] = ()) -> Person:
    """Return a person of a login name and the groups that it is in.

    :param admins: the group whose people are sysadmins
    """
    roles = _everywhere(session, name)
    owner = session.scalar(select(Owner.id).where(Owner.name == name))
    return Person(name, admins in groups or SYSADMIN in roles, tuple(scopes), bool(roles), owner)


@dataclass(frozen=True)
class Rule:
    """What an action asks for.

    :param role: that is needed in each thing; None: that one is known is enough
    :param things: the things of the arguments: ``("guest", "shop")``; none: the role is needed everywhere
    """

    role: str | None
    things: Callable[[Mapping[str, Any]], Sequence[tuple[str, Any]]] = lambda arguments: ()


def _named(noun: str, key: str = "name") -> Callable[[Mapping[str, Any]], Sequence[tuple[str, Any]]]:
    return lambda arguments: [(noun, arguments.get(key))]


def _placing(arguments: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return [("project", arguments.get("name")), ("guest", arguments.get("guest"))]


def _creating(arguments: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    """A guest on a platform; on which a project is placed at once, whose secrets its other guests have."""
    project = arguments.get("project")
    return [("platform", arguments.get("platform")), *([("project", project)] if project else [])]


_GUEST, _PROJECT = _named("guest"), _named("project")

#: What each action needs. What does not stand here is for sysadmins alone.
RULES: dict[str, Rule] = {
    **{f"guest.{verb}": Rule(VIEWER, _GUEST) for verb in ("view", "look", "snapshots")},
    **{f"guest.{verb}": Rule(DEPLOYER, _GUEST) for verb in ("start", "stop", "restart", "snapshot")},
    **{
        f"guest.{verb}": Rule(OWNER, _GUEST)
        for verb in (
            "delete",
            "enlarge",
            "trim",
            "restore",
            "delete_snapshot",
            "link_dns",
            "unlink_dns",
            "credentials",
            "exec",
        )
    },
    "guest.create": Rule(OWNER, _creating),
    "platform.view": Rule(VIEWER, _named("platform", "platform")),
    **{f"compute_node.{verb}": Rule(VIEWER, _named("compute_node")) for verb in ("view", "look")},
    "image.view": Rule(None),
    "project.view": Rule(VIEWER, _PROJECT),
    "project.create": Rule(None),
    "project.place": Rule(OWNER, _placing),
    "project.unplace": Rule(OWNER, _PROJECT),
    **{f"project.{verb}": Rule(OWNER, _PROJECT) for verb in ("destroy", "grant", "revoke")},
    **{
        f"project.{verb}": Rule(DEPLOYER, _PROJECT)
        for verb in ("push", "rollback", "maintenance", "scale", "restart", "env", "env_set", "env_unset", "plan")
    },
    **{
        f"project.{verb}": Rule(VIEWER, _PROJECT)
        for verb in ("deployments", "look", "releases", "logs", "report", "status", "stats")
    },
    **{f"owner.{verb}": Rule(OWNER, _named("owner")) for verb in ("view", "set_email", "add_key", "remove_key")},
    **{f"platform.{verb}": Rule(OWNER, _named("platform", "platform")) for verb in ("grant", "revoke")},
    **{action: Rule(None) for action in ("token.view", "token.create", "token.revoke", "audit.view")},
}

#: What is done by looking alone.
_READS = ("view", "look", "snapshots", "deployments", "releases", "logs", "report", "status", "stats", "plan")


def check(
    session: Session,
    person: Person,
    action: str,
    arguments: Mapping[str, Any],
    roles: dict[tuple[str, str], str | None] | None = None,
) -> None:
    """See that a person may do something.

    :param action: such as ``guest.create``: an operation's kind, or a question's name
    :param arguments: of the action
    :param roles: remembers the person's roles from one call to the next, by noun and name
    :raises NotThere: it is about something that they may not see, or that is not there
    :raises Forbidden: they may see it, but not do that
    """
    rule = RULES.get(action, Rule(SYSADMIN))
    scoped(person, action)
    if person.sysadmin or rule.role is None:
        return
    things = rule.things(arguments)
    if not things:
        raise Forbidden(f"{person.name} may not {action.replace('.', ' ')}: that is for sysadmins.")
    roles = {} if roles is None else roles
    for noun, name in things:
        if (noun, str(name)) not in roles:
            roles[noun, str(name)] = role(session, person, noun, name)
        has = roles[noun, str(name)]
        if has is None:
            raise NotThere(f"There is no {noun.replace('_', ' ')} {shown(name)}, or it is not yours to see.")
        if ROLES.index(has) > ROLES.index(rule.role):
            raise Forbidden(
                f"{person.name} may not {action.replace('.', ' ')} {shown(name)}: that is for {rule.role}s, "
                f"and {person.name} is {has} of it."
            )


def scoped(person: Person, action: str) -> None:
    """See that the token is good for that: its scopes are ``read``, a noun, or an action.

    :raises Forbidden: it is not
    """
    if not covers(person, action):
        raise Forbidden(f"This token is not good for {action}: its scopes are {', '.join(person.scopes)}.")


def covers(person: Person, action: str) -> bool:
    """Tell whether the token that let a person in is good for an action."""
    noun, verb = action.split(".", 1)
    reads = verb in _READS
    return not person.scopes or bool({action, noun} & set(person.scopes)) or (reads and "read" in person.scopes)


def role(session: Session, person: Person, noun: str, name: object) -> str | None:
    """Return a person's strongest role in a thing, or None when it is not there for them.

    :param noun: ``guest``, ``project``, ``platform``, ``compute_node`` or ``owner``
    :param name: its name or uuid, of a guest or node also its minion id
    """
    if noun == "owner":
        return OWNER if str(name).lower() == person.name else (SYSADMIN if person.sysadmin else None)
    if person.sysadmin:
        return SYSADMIN
    everywhere = _everywhere(session, person.name)  # what was so when they came may be over
    found = [_FINDERS[noun](session, replace(person, everywhere=bool(everywhere)), str(name)), *everywhere]
    known = [one for one in found if one is not None]
    return min(known, key=ROLES.index) if known else None


def _everywhere(session: Session, name: str) -> list[str]:
    wanted = (
        select(Role.name).join(Owner).where(Owner.name == name, Role.project_id.is_(None), Role.platform_id.is_(None))
    )
    return list(session.scalars(wanted))


def _strongest(session: Session, wanted: Select[Any]) -> str | None:
    found: list[str] = list(session.scalars(wanted))
    return min(found, key=ROLES.index) if found else None


def _in_project(session: Session, person: Person, name: str) -> str | None:
    wanted = select(Role.name).join(Owner).join(Project, Role.project_id == Project.id)
    return _strongest(session, wanted.where(Owner.name == person.name, or_(Project.name == name, Project.uuid == name)))


def _in_platform(session: Session, person: Person, uuid: str) -> str | None:
    found = session.scalar(select(Platform).where(Platform.uuid == uuid))
    return None if found is None else _on_platform(session, person, found)


def _on_platform(session: Session, person: Person, platform: Platform) -> str | None:
    if platform.owner is not None and platform.owner.name == person.name:
        return OWNER
    wanted = select(Role.name).join(Owner).where(Owner.name == person.name, Role.platform_id == platform.id)
    return _strongest(session, wanted)


def _in_guest(session: Session, person: Person, name: str) -> str | None:
    found = session.scalar(select(Guest).where(or_(Guest.name == name, Guest.uuid == name, Guest.minion_id == name)))
    if found is None:
        return None
    if found.owner is not None and found.owner.name == person.name:
        return OWNER
    has = _on_platform(session, person, found.platform) if found.platform is not None else None
    if has is not None:
        return has
    return VIEWER if person.sees_everything or _has_project_on(session, person, Guest.id == found.id) else None


def _has_project_on(session: Session, person: Person, condition: ColumnElement[bool]) -> bool:
    """Tell whether a project of a person's is on one of these guests."""
    placed = select(Placement.id).join(Guest, Guest.id == Placement.guest_id)
    placed = placed.join(Role, Role.project_id == Placement.project_id)
    return session.scalar(placed.where(condition, Role.owner_id == _me(_key(person))).limit(1)) is not None


def _in_node(session: Session, person: Person, name: str) -> str | None:
    same = or_(ComputeNode.name == name, ComputeNode.uuid == name, ComputeNode.minion_id == name)
    rows = session.scalars(select(ComputeNode).where(same))
    return VIEWER if any(_sees_node(session, person, row) for row in rows) else None


def _sees_node(session: Session, person: Person, node: ComputeNode) -> bool:
    if person.sees_everything:
        return True
    there = select(Platform.id).where(Platform.node_id == node.id, platforms(person))
    own = select(Guest.id).where(Guest.node_id == node.id, Guest.owner_id == _me(_key(person)))
    return (
        session.scalar(there.limit(1)) is not None
        or session.scalar(own.limit(1)) is not None
        or _has_project_on(session, person, Guest.node_id == node.id)
    )


_FINDERS: dict[str, Callable[[Session, Person, str], str | None]] = {
    "project": _in_project,
    "platform": _in_platform,
    "guest": _in_guest,
    "compute_node": _in_node,
}


# --- what a list shows --------------------------------------------------------------------------------------------------


#: So many people's conditions are kept: to put one together takes longer than what a database does with it.
_kept = lru_cache(100)

# Each condition asks for the keys of what is seen, gathered from indexes: with the ways to see something told one by one
# beside each other, databases look at every row.


def _key(person: Person) -> int | str:
    return person.name if person.owner is None else person.owner


def _me(who: int | str) -> Any:
    """A person's id, or what finds it by their name."""
    return who if isinstance(who, int) else select(Owner.id).where(Owner.name == who).scalar_subquery()


def projects(person: Person) -> ColumnElement[bool]:
    """The condition for ``Project`` that a person may see it."""
    return true() if person.sees_everything else _projects(_key(person))


@_kept
def _projects(who: int | str) -> ColumnElement[bool]:
    return Project.id.in_(select(Role.project_id).where(Role.owner_id == _me(who), Role.project_id.is_not(None)))


def platforms(person: Person) -> ColumnElement[bool]:
    """The condition for ``Platform`` that a person may see it."""
    return true() if person.sees_everything else _platforms(_key(person))


@_kept
def _platforms(who: int | str) -> ColumnElement[bool]:
    return Platform.id.in_(_platform_ids(who))


def _platform_ids(who: int | str) -> CompoundSelect[Any]:
    own, role = aliased(Platform), aliased(Role)
    return union_all(
        select(own.id).where(own.owner_id == _me(who)),
        select(role.platform_id).where(role.owner_id == _me(who), role.platform_id.is_not(None)),
    )


def guests(person: Person) -> ColumnElement[bool]:
    """The condition for ``Guest`` that a person may see it: theirs, on their platform, or with a project of theirs."""
    return true() if person.sees_everything else _guests(_key(person))


@_kept
def _guests(who: int | str) -> ColumnElement[bool]:
    return Guest.id.in_(_guest_ids(who))


def guest_ids(person: Person) -> Select[Any] | CompoundSelect[Any]:
    """The ids of the guests that a person may see; some of them more than once."""
    return select(aliased(Guest).id) if person.sees_everything else _guest_ids(_key(person))


@_kept
def _guest_ids(who: int | str) -> CompoundSelect[Any]:
    guest, role = aliased(Guest), aliased(Role)
    placed = select(Placement.guest_id).join(role, role.project_id == Placement.project_id)
    return union_all(
        select(guest.id).where(guest.owner_id == _me(who)),
        select(guest.id).where(guest.platform_id.in_(_platform_ids(who))),
        placed.where(role.owner_id == _me(who)),
    )


def nodes(person: Person) -> ColumnElement[bool]:
    """The condition for ``ComputeNode`` that a person may see it: it has a platform or a guest that they may see."""
    return true() if person.sees_everything else _nodes(_key(person))


@_kept
def _nodes(who: int | str) -> ColumnElement[bool]:
    return ComputeNode.id.in_(_node_ids(who))


def node_ids(person: Person) -> Select[Any] | CompoundSelect[Any]:
    """The ids of the nodes that a person may see; some of them more than once."""
    return select(aliased(ComputeNode).id) if person.sees_everything else _node_ids(_key(person))


@_kept
def _node_ids(who: int | str) -> CompoundSelect[Any]:
    own, guest, role = aliased(Guest), aliased(Guest), aliased(Role)
    placed = select(guest.node_id).join(Placement, Placement.guest_id == guest.id)
    return union_all(
        select(Platform.node_id).where(_platforms(who)),  # the guests of a platform are on its node
        select(own.node_id).where(own.owner_id == _me(who)),
        placed.join(role, role.project_id == Placement.project_id).where(role.owner_id == _me(who)),
    )


def first(
    person: Person,
    wanted: Select[Any],
    limit: int,
    *order: InstrumentedAttribute[Any],
    newest: bool = False,
    few: bool = False,
) -> Select[Any]:
    """Return a query for the first of what a person may see.

    When databases are told to sort and to take the first, they may walk through all that there is in that order, and look
    for what is wanted. So who sees a part of it has theirs found first (OFFSET 0 keeps it apart), and then sorted.

    :param wanted: selects rows of one table, with the condition that they may see them
    :param order: its columns that it is sorted by
    :param newest: begin with the greatest
    :param few: what is wanted is a small part of all, whoever asks
    """
    if few or not person.sees_everything:
        table = wanted.column_descriptions[0]["entity"]
        theirs = wanted.with_only_columns(table.id, *order).offset(0).subquery()
        keys = [theirs.c[column.name] for column in order]
        ids = select(theirs.c.id).order_by(*(key.desc() if newest else key for key in keys)).limit(limit)
        wanted = select(table).where(table.id.in_(ids))
    return wanted.order_by(*(column.desc() if newest else column for column in order)).limit(limit)


def sees(session: Session, person: Person, thing: Guest | ComputeNode | Operation) -> bool:
    """Tell whether a person may see one thing: what the conditions of lists say of it."""
    if isinstance(thing, Operation):
        told = (thing.subject or "").split(":")[0] in _TOLD
        return person.sysadmin or thing.who == person.name or (told and subject(session, person, thing.subject))
    if isinstance(thing, ComputeNode):
        return _sees_node(session, person, thing)
    return person.sees_everything or _in_guest(session, person, thing.name) is not None


def follows(person: Person, subject_: str | None, kind: str | None) -> bool:
    """Tell whether the token that let a person in is good for being told of an operation.

    It is when it is good for looking at operations or at what this one changes, or for having such a one done.
    """
    noun = (subject_ or "").partition(":")[0] or "operation"
    return any(covers(person, action) for action in ("operation.view", f"{noun}.view", kind) if action)


def told(session: Session, person: Person, subject_: str | None, operation: str | None) -> bool:
    """Tell whether a person may follow what happens to a subject in an operation: both its token and its roles say so.

    :param operation: its uuid, if it is one
    """
    row = session.scalar(select(Operation).where(Operation.uuid == operation)) if operation is not None else None
    if not follows(person, subject_, row.kind if row is not None else None):
        return False
    # What an operation makes is not there when it begins.
    return subject(session, person, subject_) or (row is not None and row.who == person.name)


def subject(session: Session, person: Person, words: str | None) -> bool:
    """Tell whether a person may see operations on a subject, such as ``guest:shop``."""
    noun, _, name = (words or "").partition(":")
    if person.sysadmin:
        return True
    return noun in (*_FINDERS, "owner") and role(session, person, noun, name) is not None


def knows(session: Session, person: Person, operation: Operation) -> bool:
    """Tell whether a person who may see an operation may know what it was given, and what it kept.

    What is set of a platform is for who may set it.
    """
    if operation.who == person.name or not (operation.subject or "").startswith("platform:"):
        return True
    try:
        check(session, replace(person, scopes=()), operation.kind, operation.arguments)
    except (Forbidden, NotThere):
        return False
    return True


#: Things whose operations are told to whoever may see them; of others, to who asked for them.
_TOLD = ("guest", "project", "platform")


def operations(person: Person) -> ColumnElement[bool]:
    """The condition for ``Operation`` that a person may see it: their own, and those on what they may see."""
    if person.sysadmin:
        return true()
    if person.everywhere:
        about = [Operation.subject.startswith(f"{noun}:", autoescape=True) for noun in _TOLD]
        return or_(Operation.who == person.name, *about)
    return _operations(person.name, _key(person))


@_kept
def _operations(name: str, who: int | str) -> ColumnElement[bool]:
    seen = (
        select(literal("guest:") + Guest.name).where(_guests(who)),
        select(literal("project:") + Project.name).where(_projects(who)),
        select(literal("platform:") + Platform.uuid).where(_platforms(who)),
    )
    one = aliased(Operation)
    return Operation.id.in_(
        union_all(
            select(one.id).where(one.who == name),
            *(select(one.id).where(one.subject.in_(those)) for those in seen),
        )
    )
