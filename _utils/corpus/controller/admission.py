"""Who is let in where: the keys of people on their guests and in their projects.

The registry says it: a guest lets its own keys in (rows of ``SshKey`` with that guest), among them those of whoever it
belongs to; a project on it lets these in, and those of its owners and deployers. The machines are told here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus import locks
from corpus.controller import wiring
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import Guest, Owner, Project, SshKey

#: Roles whose people come in with their keys.
ADMITTED = ("sysadmin", "owner", "deployer")
#: Seconds that a guest has to say that it is there, to change a key of root, and one of a project.
ANSWERING, LETTING, READYING = 10, 60, 300

#: A guest's name, and the project there; None: the guest itself.
Place = Sequence[str | None]


# --- the registry -----------------------------------------------------------------------------------------------------


def personal(person: Owner) -> list[SshKey]:
    """Return a person's own keys, wherever these let in."""
    own = (key for key in person.keys if key.node_id is None and key.guest_id is None)
    return sorted(own, key=lambda key: (key.name, key.fingerprint))


def owner_of(guest: Guest) -> Owner | None:
    """Return whose a guest is: its own owner, else its platform's."""
    return guest.owner or (guest.platform.owner if guest.platform else None)


def entitled(guest: Guest) -> list[Owner]:
    """Return the people who are let in on a guest as root: whose it is, and who deploys on its platform."""
    there = owner_of(guest)
    found = {there.id: there} if there is not None else {}
    for role in guest.platform.roles if guest.platform else ():
        if role.name in ADMITTED:
            found[role.owner_id] = role.owner
    return sorted(found.values(), key=lambda person: person.name)


def guests_of(session: Session, person: Owner) -> list[Guest]:
    """Return the guests that let a person in, by name."""
    from sqlalchemy import select, union_all
    from sqlalchemy.orm import aliased

    from corpus.controller.registry.models import Guest, Platform, Role

    one = aliased(Guest)
    mine = select(Platform.id).where(Platform.owner_id == person.id)
    deployed = select(Role.platform_id).where(
        Role.owner_id == person.id, Role.platform_id.is_not(None), Role.name.in_(ADMITTED)
    )
    those = union_all(  # each found by an index: with "or" between them, databases look at every guest
        select(one.id).where(one.owner_id == person.id),
        select(one.id).where(one.owner_id.is_(None), one.platform_id.in_(mine)),
        select(one.id).where(one.platform_id.in_(deployed)),
    )
    wanted = select(Guest).where(Guest.id.in_(those), Guest.state != "deleting")
    return list(session.scalars(wanted.order_by(Guest.name)))


def let_in(session: Session, guest: Guest) -> None:
    """Register the keys of the people whom a guest lets in."""
    session.flush()
    known = {key.fingerprint for key in guest.keys}
    for person in entitled(guest):
        for key in personal(person):
            if key.fingerprint not in known:
                known.add(key.fingerprint)
                session.add(_copy(key, person, guest))


def _copy(key: SshKey, person: Owner, guest: Guest) -> SshKey:
    from corpus.controller.registry.models import SshKey

    return SshKey(name=key.name, public=key.public, fingerprint=key.fingerprint, owner_id=person.id, guest_id=guest.id)


def settle_rows(session: Session, person: Owner, gone: Iterable[str] = ()) -> None:
    """Make the keys of guests what a person's keys and roles are now.

    :param gone: fingerprints of keys that were the person's
    """
    session.flush()
    session.refresh(person)
    own = {key.fingerprint: key for key in personal(person)}
    touched, theirs = {*own, *gone}, guests_of(session, person)
    allowed = {guest.id for guest in theirs}
    for row in list(person.keys):
        if row.guest_id is None or row.fingerprint not in touched:
            continue
        if row.guest_id not in allowed or row.fingerprint not in own:
            session.delete(row)
    session.flush()
    for guest in theirs:
        session.refresh(guest, ["keys"])
        let_in(session, guest)
    session.flush()


def keys_of(project: Project, guest: Guest) -> list[str]:
    """Return the public keys that may push to a project on a guest, each once."""
    found = {_blob(key.public): key.public.strip() for key in guest.keys}
    for role in project.roles:
        if role.name in ADMITTED:
            found |= {_blob(key.public): key.public.strip() for key in personal(role.owner)}
    return sorted(found.values())


def _blob(public: str) -> str:
    """What makes a key the same one, whatever its comment is."""
    words = str(public).split()
    return words[1] if len(words) > 1 else ""


def on_guests(guests: Iterable[Guest]) -> list[list[str | None]]:
    """Return the places that guests are: themselves, and the projects there."""
    return [
        [guest.name, project]
        for guest in guests
        for project in (None, *sorted(placed.project.name for placed in guest.placements))
    ]


def in_project(project: Project) -> list[list[str | None]]:
    """Return the places that a project is at."""
    return sorted([placed.guest.name, project.name] for placed in project.placements)


def places(session: Session, person: Owner) -> list[list[str | None]]:
    """Return everywhere that a person's keys are let in."""
    found = on_guests(guests_of(session, person))
    for role in person.roles:
        if role.project is not None and role.name in ADMITTED:
            found += [place for place in in_project(role.project) if place not in found]
    return found


# --- the machines -----------------------------------------------------------------------------------------------------


def settle(cloud: Cloud, where: Iterable[Place], publics: Sequence[str]) -> list[str]:
    """Let keys in, or keep them out, as the registry says now; return where that changed something.

    Keys that the registry never had, such as one that somebody wrote into a guest by hand, are left alone.

    :param where: the places that are looked at
    :param publics: keys that came or went
    :raises CorpusError: a guest was not reached, or refused; all others were asked
    """
    changed: list[str] = []
    trouble: list[str] = []
    by_guest: dict[str, list[str | None]] = {}
    for at, project in where:
        by_guest.setdefault(str(at), []).append(project)
    for at, projects in by_guest.items():
        try:
            for project in _reached(cloud, at, projects):
                if project is None:
                    told = _settle_root(cloud, at, publics)
                else:
                    told = _settle_project(cloud, at, project, publics)
                if told:
                    changed.append(f"{project} on {at}" if project else f"root of {at}")
        except CorpusError as err:
            trouble.append(str(err))
    if trouble:
        raise CorpusError(f"{' '.join(trouble)} Ask again when that is over.")
    return changed


def _reached(cloud: Cloud, at: str, projects: Sequence[str | None]) -> Iterator[str | None]:
    """Yield what there is to settle on a guest, when it answers; one at a time does so."""
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, at)
        minion, state = guest.minion_id, guest.state
    if state == "stopped":
        raise CorpusError(f"The guest {at} is stopped.")
    if not cloud.minions.answers(minion, timeout=ANSWERING):
        raise CorpusError(f"The guest {at} does not answer.")
    cloud.settings.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    refusal = f"The keys of {at} are being changed by somebody else."
    with locks.held(cloud.settings.locks / f"keys-{at}", {}, lambda _note: refusal, wait=LETTING):
        yield from projects


def _settle_root(cloud: Cloud, at: str, publics: Sequence[str]) -> bool:
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, at)
        minion, wanted = guest.minion_id, {_blob(key.public) for key in guest.keys}
    changed = [public for public in publics if settle_key(cloud, minion, public, _blob(public) in wanted)]
    return bool(changed)


def settle_key(cloud: Cloud, minion: str, public: str, wanted: bool) -> bool:
    """Let one key in as root of a minion, or keep it out; return whether that was new."""
    kind, blob, *comment = public.split(None, 2)
    if wanted:
        words = {"user": "root", "key": blob, "enc": kind, "comment": " ".join(comment)}
        told = str(wiring.call(cloud, minion, "ssh.set_auth_key", timeout=LETTING, **words))
        new, fine = told in ("new", "replace"), told == "no change"
    else:
        told = str(wiring.call(cloud, minion, "ssh.rm_auth_key", timeout=LETTING, user="root", key=blob))
        new, fine = told == "Key removed", told.endswith("not present")
    if not new and not fine:
        raise CorpusError(f"{minion} did not change a key of root: {told[:200]}")
    return new


def _settle_project(cloud: Cloud, at: str, name: str, publics: Sequence[str]) -> bool:
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, at)
        placed = next((one for one in guest.placements if one.project.name == name), None)
        if placed is None:
            return False
        minion = guest.minion_id
        wanted = {_blob(public): public for public in keys_of(placed.project, guest)}
    kept = _kept(cloud, minion, name)
    touched = {_blob(public) for public in publics}
    there = {_blob(line): line for line in kept}
    left = {blob: line for blob, line in there.items() if blob in wanted or blob not in touched}
    for blob, line in wanted.items():
        left.setdefault(blob, line)
    if set(left) == set(there):
        return False
    report = wiring.call(
        cloud, minion, "mc_project.init_project", name, timeout=READYING, authorized_keys=sorted(left.values())
    )
    return bool(isinstance(report, Mapping) and report.get("changes"))


def _kept(cloud: Cloud, minion: str, name: str) -> list[str]:
    """The keys that a project on a guest lets in."""
    found: Any = wiring.call(cloud, minion, "mc_project.get_configuration", name, timeout=LETTING)
    keys = found.get("authorized_keys") if isinstance(found, Mapping) else None
    if not isinstance(keys, list):
        raise CorpusError(f"{minion} does not tell whom {name} lets in: {str(found)[:200]}")
    return [str(line) for line in keys]
