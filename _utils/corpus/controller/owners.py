"""People: who they are, the keys that they come in with, and the roles that they have.

What is said of a person here is told to the guests and projects at once (:mod:`corpus.controller.admission`); one that
does not answer is a note of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import access, admission, operations
from corpus.controller.operations import Run, Step
from corpus.controller.revisions import unchanged
from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import Owner, Platform, Project, Role

#: The last step of whatever changes who is let in.
_TOLD = "guests and projects"


# --- names and finders ------------------------------------------------------------------------------------------------


def login(name: object) -> str:
    """Return ``name`` when it can be a login name.

    :raises UsageError: it is not 1 to 100 of ``a-z 0-9 . _ - @``
    """
    words = str(name)
    fits = words.isascii() and words == words.lower() and all(sign.isalnum() or sign in "._-@" for sign in words)
    if not 1 <= len(words) <= 100 or not fits or words.startswith("-"):
        raise UsageError(f"{shown(name)} is no login name: use lower-case letters, digits and . _ - @.")
    return words


def address(email: object) -> str:
    """Return ``email`` when it is a mail address.

    :raises UsageError: it is none, or several
    """
    words = str(email)
    user, _, domain = words.rpartition("@")
    fits = words.isascii() and words.isprintable() and not any(sign in " \"'<>,;:\\()[]" for sign in words)
    if not fits or len(words) > 254 or not user or "@" in user or not domain.strip("."):
        raise UsageError(f"{shown(email)} is no mail address: write one such as ada@example.org.")
    return words


def _label(label: object) -> str:
    words = str(label)
    if not 1 <= len(words) <= 100 or not words.isprintable() or any(sign in "\"'`\\" for sign in words):
        raise UsageError(f"{shown(label)} cannot label a key: use up to 100 letters, digits, spaces, @ . _ -.")
    return words


def find(session: Session, name: object) -> Owner | None:
    """Return a person by login name, or None."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Owner

    return session.scalar(select(Owner).where(Owner.name == str(name)))


def owner(session: Session, name: object) -> Owner:
    """Return a person by login name.

    :raises UsageError: there is none
    """
    found = find(session, name)
    if found is None:
        raise unknown(name)
    return found


def unknown(name: object) -> UsageError:
    """Return the refusal of a person who is not there."""
    return UsageError(f"There is no owner {shown(name)}: make it with mc_owner.create.")


def person(session: Session, name: object, make: bool) -> Owner:
    """Return a person by login name.

    :param make: make one that is not known
    :raises UsageError: there is none
    """
    from corpus.controller.registry.models import Owner

    found = find(session, login(name))
    if found is not None:
        return found
    if not make:
        raise UsageError(
            f"{shown(name)} is not known: make it with mc_owner.create, or tell who that is with email=ADDRESS."
        )
    made = Owner(name=login(name))
    session.add(made)
    session.flush()
    return made


def _key(there: Owner, wanted: object) -> str:
    """Return one of a person's keys: by its fingerprint, its label, or itself.

    A whole key may be one that was the person's: a guest may not have answered when it was removed.

    :raises UsageError: there is none, or there are several
    """
    words = str(wanted).strip()
    own = admission.personal(there)
    found = [key for key in own if words == key.fingerprint] or [
        key for key in own if words in (key.name, key.public.strip())
    ]
    if not found and len(words.split()) > 1:
        return access.public_key(wanted)
    if not found:
        raise UsageError(f"{there.name} has no key {shown(wanted)}: see mc_owner.infos {there.name}.")
    if len(found) > 1:
        raise UsageError(f"{there.name} has {len(found)} keys {shown(wanted)}: name one by its fingerprint.")
    return found[0].public.strip()


def _add(session: Session, there: Owner, public: str, label: str | None) -> None:
    from corpus.controller.registry.models import SshKey

    words = public.split(None, 2)
    name = label or (words[2] if len(words) > 2 else "key")
    session.add(SshKey(name=name[:100], public=public, fingerprint=access.fingerprint(public), owner_id=there.id))
    session.flush()


def _free(session: Session, public: str, name: str) -> None:
    """See that a key is nobody else's: it would be let out of what is theirs with one of them.

    :raises UsageError: it is
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Owner, SshKey

    wanted = (
        select(SshKey.id)
        .join(Owner, SshKey.owner_id == Owner.id)
        .where(
            SshKey.fingerprint == access.fingerprint(public),
            SshKey.node_id.is_(None),
            SshKey.guest_id.is_(None),
            Owner.name != name,
        )
    )
    if session.scalars(wanted).first() is not None:
        raise UsageError(f"The key {access.fingerprint(public)} is somebody else's already: make one of your own.")


def _telling(where: Callable[[Run], list[list[str | None]]], publics: Callable[[Run], list[str]]) -> Step:
    """The step that tells guests and projects; skipped where there is nobody to tell, or nothing.

    :param where: returns the places
    :param publics: returns the keys that came or went
    """

    def needless(run: Run) -> bool:
        return not where(run) or not publics(run)

    def tell(run: Run) -> dict[str, list[str]]:
        changed = admission.settle(run.cloud, where(run), publics(run))
        return {"changed": changed} if changed else {}

    return Step(_TOLD, needless, tell, None, repeatable=True, essential=False)


# --- people -----------------------------------------------------------------------------------------------------------


@operations.kind("owner.create")
def creation(arguments: Mapping[str, Any]) -> list[Step]:
    """A person: name, email, keys (public ones)."""
    name = login(arguments.get("name"))
    email = address(arguments["email"]) if arguments.get("email") else None
    publics = list(dict.fromkeys(access.public_key(line) for line in arguments.get("keys") or ()))

    def known(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            there = find(session, name)
            for public in publics:
                _free(session, public, name)
            if there is None:
                return False
            has = {key.fingerprint for key in admission.personal(there)}
            if email not in (None, there.email) or not {access.fingerprint(public) for public in publics} <= has:
                raise UsageError(
                    f"There is an owner {name} already: change it with mc_owner.set_email, mc_owner.add_key."
                )
            return True

    def register(run: Run) -> str:
        from corpus.controller.registry.models import Owner

        with run.cloud.registry.session() as session:
            there = Owner(name=name, email=email)
            session.add(there)
            session.flush()
            for public in publics:
                _add(session, there, public, None)
        run.data["made"] = True
        return name

    def unregister(run: Run) -> None:
        if run.data.get("made"):
            with run.cloud.registry.session() as session:
                there = find(session, name)
                if there is not None:
                    session.delete(there)

    return [Step("registry", known, register, unregister)]


@operations.kind("owner.set_email")
def addressing(arguments: Mapping[str, Any]) -> list[Step]:
    """Another mail address of a person: name, email; an empty one: none. ``was``: the digest of the one that who asks
    knows (see :mod:`corpus.controller.revisions`)."""
    name = login(arguments.get("name"))
    email = address(arguments["email"]) if arguments.get("email") else None

    def so(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            now = owner(session, name).email
        if now != email:
            unchanged(arguments.get("was"), {"email": now})
        return now == email

    def change(run: Run) -> dict[str, str | None]:
        with run.cloud.registry.session() as session:
            there = owner(session, name)
            old, there.email = there.email, email
        return {"old": old, "new": email}

    return [Step("email", so, change, None, repeatable=True)]


@operations.kind("owner.delete")
def deletion(arguments: Mapping[str, Any]) -> list[Step]:
    """A person who owns nothing any more: name, confirm. The keys are let out wherever a role let them in."""
    name = login(arguments.get("name"))
    if arguments.get("confirm") != name:
        raise UsageError(f"Deleting {name} forgets keys and roles: say confirm={name}.")

    def free(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            there = find(session, name)
            if there is None and "places" in run.data:
                return True  # it was us
            stands = _standing(session, owner(session, name))
            if stands:
                raise UsageError(f"{name} cannot be deleted: {'; '.join(stands)}. Give that to somebody else first.")
        return False

    def look(run: Run) -> None:
        with run.cloud.registry.reading() as session:
            there = owner(session, name)
            publics = sorted({key.public.strip() for key in there.keys if key.node_id is None})
            found = {"places": admission.places(session, there), "publics": publics}
        run.remember(**found)

    def gone(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            return find(session, name) is None

    def forget(run: Run) -> str:
        with run.cloud.registry.session() as session:
            there = owner(session, name)
            if stands := _standing(session, there):
                raise UsageError(f"{name} cannot be deleted: {'; '.join(stands)}.")
            session.delete(there)
        return f"{name} is forgotten"

    return [
        Step("what stands on it", free, look, None, repeatable=True),
        Step("registry", gone, forget, None, repeatable=True),
        _telling(lambda run: run.data["places"], lambda run: run.data["publics"]),
    ]


def _standing(session: Session, there: Owner) -> list[str]:
    """What would be nobody's without a person, in words."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    guests = session.scalars(select(Guest.name).where(Guest.owner_id == there.id).order_by(Guest.name)).all()
    alone = sorted(role.project.name for role in there.roles if role.project is not None and _alone(role))
    platforms = sorted(f"{one.type} on {one.node.name}" for one in there.platforms)
    return [
        f"{word} {', '.join(names)}"
        for word, names in (
            ("it owns the platforms", platforms),
            ("it owns the guests", guests),
            ("it is the only owner of", alone),
        )
        if names
    ]


def _alone(role: Role) -> bool:
    """Whether nobody else owns the project."""
    assert role.project is not None
    return role.name == "owner" and [one for one in role.project.roles if one.name == "owner"] == [role]


# --- keys -------------------------------------------------------------------------------------------------------------


@operations.kind("owner.add_key")
def letting_in(arguments: Mapping[str, Any]) -> list[Step]:
    """One more key of a person: name, public, label."""
    name, public = login(arguments.get("name")), access.public_key(arguments.get("public"))
    label = _label(arguments["label"]) if arguments.get("label") else None

    def known(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            there = owner(session, name)
            _free(session, public, name)
            has = {key.fingerprint: key for key in admission.personal(there)}
            if label is not None and any(one.name == label and one.public != public for one in has.values()):
                raise UsageError(f"{name} has a key {shown(label)} already: choose another label.")
            return access.fingerprint(public) in has

    def register(run: Run) -> str:
        with run.cloud.registry.session() as session:
            there = owner(session, name)
            _add(session, there, public, label)
            admission.settle_rows(session, there)
        return access.fingerprint(public)

    def unregister(run: Run) -> None:
        _drop(run.cloud, name, access.fingerprint(public))

    def where(run: Run) -> list[list[str | None]]:
        with run.cloud.registry.reading() as session:
            return admission.places(session, owner(session, name))

    return [Step("registry", known, register, unregister), _telling(where, lambda _run: [public])]


@operations.kind("owner.remove_key")
def letting_out(arguments: Mapping[str, Any]) -> list[Step]:
    """A key that is a person's no more: name, key (its fingerprint, its label, or itself)."""
    name = login(arguments.get("name"))

    def look(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            _key(owner(session, name), arguments.get("key"))
        return False

    def remember(run: Run) -> str:
        with run.cloud.registry.reading() as session:
            there = owner(session, name)
            public = _key(there, arguments.get("key"))
            where = admission.places(session, there)
        run.remember(public=public, fingerprint=access.fingerprint(public), places=where)
        return access.fingerprint(public)

    return [
        Step("key", look, remember, None, repeatable=True),
        Step("registry", None, lambda run: _drop(run.cloud, name, run.data["fingerprint"]), None, repeatable=True),
        _telling(lambda run: run.data["places"], lambda run: [run.data["public"]]),
    ]


def _drop(cloud: Cloud, name: str, fingerprint: str) -> None:
    with cloud.registry.session() as session:
        there = find(session, name)
        if there is None:
            return
        for key in admission.personal(there):
            if key.fingerprint == fingerprint:
                session.delete(key)
        admission.settle_rows(session, there, [fingerprint])


# --- roles ------------------------------------------------------------------------------------------------------------


def _subjects(noun: str) -> Callable[[Mapping[str, Any]], list[str]]:
    """What a role is about, and whose it is."""

    def subjects(arguments: Mapping[str, Any]) -> list[str]:
        about = {"project": arguments.get("name"), "platform": arguments.get("platform")}
        return [*([f"{noun}:{about[noun]}"] if noun in about else []), f"owner:{arguments.get('owner', '')}"]

    return subjects


def _target(session: Session, kind: str, arguments: Mapping[str, Any]) -> Project | Platform | None:
    """What a role is about; None: it is one everywhere.

    :raises UsageError: there is no such project or platform
    """
    from sqlalchemy import select

    from corpus.controller import projects
    from corpus.controller.registry.models import Platform

    noun = kind.split(".")[0]
    if noun == "project":
        return projects.project(session, arguments.get("name"))
    if noun == "platform":
        found = session.scalar(select(Platform).where(Platform.uuid == str(arguments.get("platform"))))
        if found is None:
            raise UsageError(f"There is no platform {shown(arguments.get('platform'))}: see mc_compute_node.infos.")
        return found
    return None


def _roles(session: Session, there: Owner, kind: str, target: Project | Platform | None) -> list[Role]:
    """A person's roles in a project, on a platform, or everywhere."""
    session.refresh(there, ["roles"])
    noun, key = kind.split(".")[0], target.id if target is not None else None
    return [
        role
        for role in there.roles
        if (role.project_id, role.platform_id)
        == (key if noun == "project" else None, key if noun == "platform" else None)
    ]


def give(session: Session, there: Owner, role: str, kind: str, target: Project | Platform | None) -> bool:
    """Give a person a role; return whether that is new.

    :param kind: ``project.grant``, ``platform.grant`` or ``owner.grant``
    """
    from corpus.controller.registry.models import Role

    if any(one.name == role for one in _roles(session, there, kind, target)):
        return False
    noun, key = kind.split(".")[0], target.id if target is not None else None
    session.add(
        Role(
            owner_id=there.id,
            project_id=key if noun == "project" else None,
            platform_id=key if noun == "platform" else None,
            name=role,
        )
    )
    session.flush()
    if target is not None:
        session.refresh(target, ["roles"])
    return True


def _granting(kind: str) -> operations.Builder:
    def build(arguments: Mapping[str, Any]) -> list[Step]:
        """A role: owner, role, email, and what it is about."""
        name, role = login(arguments.get("owner")), _role(arguments.get("role") or "deployer")
        email = address(arguments["email"]) if arguments.get("email") else None
        if kind == "project.grant":
            identifiers.project_name(arguments.get("name"))

        def addressed(run: Run) -> bool:
            with run.cloud.registry.reading() as session:
                _target(session, kind, arguments)
                there = find(session, name)
                if there is None and email is None:
                    person(session, name, make=False)
                if there is not None and email not in (None, there.email):  # their mails have links to passwords
                    raise UsageError(f"{name} is known: where they get mails is theirs to say (mc_owner.set_email).")
                return there is not None

        def acquaint(run: Run) -> dict[str, str | None]:
            run.remember(known=False)
            with run.cloud.registry.session() as session:
                person(session, name, make=True).email = email
            return {"old": None, "new": email}

        def forget(run: Run) -> None:
            with run.cloud.registry.session() as session:
                there = find(session, name)
                if there is not None and run.data.get("known") is False and not there.roles:
                    session.delete(there)

        def has(run: Run) -> bool:
            with run.cloud.registry.reading() as session:
                there = find(session, name)
                target = _target(session, kind, arguments)
                return there is not None and role in [one.name for one in _roles(session, there, kind, target)]

        def grant(run: Run) -> str:
            with run.cloud.registry.session() as session:
                there = owner(session, name)
                give(session, there, role, kind, _target(session, kind, arguments))
                admission.settle_rows(session, there)
            run.data["given"] = True
            return role

        def ungrant(run: Run) -> None:
            _take(run, kind, name, [role])

        return [
            Step("email", addressed, acquaint, forget),
            Step("role", has, grant, ungrant),
            _telling(
                lambda run: _concerned(run, kind) if role in admission.ADMITTED else [],
                lambda run: _publics(run, name),
            ),
        ]

    return build


def _revoking(kind: str) -> operations.Builder:
    def build(arguments: Mapping[str, Any]) -> list[Step]:
        """A role that is taken away: owner, role (None: all of them), and what it is about."""
        name = login(arguments.get("owner"))
        role = _role(arguments["role"]) if arguments.get("role") else None

        def hasnt(run: Run) -> bool:
            with run.cloud.registry.reading() as session:
                target, there = _target(session, kind, arguments), find(session, name)
                return there is None or not [
                    one for one in _roles(session, there, kind, target) if role in (None, one.name)
                ]

        def take(run: Run) -> dict[str, list[str]]:
            return {"revoked": _take(run, kind, name, [role] if role else None)}

        return [
            Step("roles", hasnt, take, None, repeatable=True),
            _telling(lambda run: _concerned(run, kind), lambda run: _publics(run, name)),
        ]

    return build


def _take(run: Run, kind: str, name: str, roles: list[str] | None) -> list[str]:
    with run.cloud.registry.session() as session:
        there = find(session, name)
        if there is None:
            return []
        gone = [
            one
            for one in _roles(session, there, kind, _target(session, kind, run.arguments))
            if roles is None or one.name in roles
        ]
        names = [one.name for one in gone]
        for one in gone:
            session.delete(one)
        admission.settle_rows(session, there)
    return names


def _concerned(run: Run, kind: str) -> list[list[str | None]]:
    """The places that a role is about."""
    with run.cloud.registry.reading() as session:
        target = _target(session, kind, run.arguments)
        if target is None:
            return []
        return admission.in_project(target) if kind.startswith("project.") else admission.on_guests(target.guests)  # type: ignore[arg-type,union-attr]


def _publics(run: Run, name: str) -> list[str]:
    with run.cloud.registry.reading() as session:
        there = find(session, name)
        return [key.public.strip() for key in admission.personal(there)] if there is not None else []


def _role(name: object) -> str:
    from corpus.controller.registry.models import ROLES

    if name not in ROLES:
        raise UsageError(f"{shown(name)} is no role: there are {', '.join(ROLES)}.")
    return str(name)


for _noun in ("project", "platform", "owner"):
    operations.kind(f"{_noun}.grant", subject=_subjects(_noun))(_granting(f"{_noun}.grant"))
    operations.kind(f"{_noun}.revoke", subject=_subjects(_noun))(_revoking(f"{_noun}.revoke"))


def aimed(verb: str, project: str | None, platform: str | None) -> tuple[str, dict[str, str]]:
    """Return the kind of operation, and its arguments, by what a role is about.

    :param verb: ``grant`` or ``revoke``
    :raises UsageError: it is about two things
    """
    if project and platform:
        raise UsageError("A role is about one project or one platform: say project= or platform=.")
    if project:
        return f"project.{verb}", {"name": str(project)}
    if platform:
        return f"platform.{verb}", {"platform": str(platform)}
    return f"owner.{verb}", {}


# --- looking ----------------------------------------------------------------------------------------------------------


def listed(cloud: Cloud) -> dict[str, Any]:
    """Return everybody, by name."""
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    from corpus.controller.registry.models import Owner

    wanted = select(Owner).order_by(Owner.name).options(selectinload(Owner.keys), selectinload(Owner.roles))
    with cloud.registry.reading() as session:
        return {
            one.name: {"email": one.email, "keys": len(admission.personal(one)), "roles": len(one.roles)}
            for one in session.scalars(wanted)
        }


def infos(cloud: Cloud, name: str) -> dict[str, Any]:
    """Return what the registry knows of a person."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform, Project, Role

    with cloud.registry.reading() as session:
        there = owner(session, name)
        projects: dict[str, list[str]] = {}
        platforms: dict[str, list[str]] = {one.uuid: ["owner"] for one in there.platforms}
        everywhere: list[str] = []
        rows: Any = session.execute(
            select(Role.name, Project.name, Platform.uuid)
            .outerjoin(Project, Role.project_id == Project.id)
            .outerjoin(Platform, Role.platform_id == Platform.id)
            .where(Role.owner_id == there.id)
            .order_by(Role.name)
        )
        for role, project, platform in rows:
            if project is not None:
                projects.setdefault(project, []).append(role)
            elif platform is not None:
                names = platforms.setdefault(platform, [])
                names += [role] if role not in names else []
            else:
                everywhere.append(role)
        return {
            "name": there.name,
            "email": there.email,
            "created": there.created.isoformat(),
            "roles": everywhere,
            "keys": {key.fingerprint: key.name for key in admission.personal(there)},
            "platforms": dict(sorted(platforms.items())),
            "guests": [guest.name for guest in admission.guests_of(session, there)],
            "projects": dict(sorted(projects.items())),
        }
