"""Guests: what they are called, what there is to know of them, who gets in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import links, privileges, projects, wiring
from corpus.controller.operations import Run
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.cloud import Cloud
    from corpus.controller.credentials import Credentials
    from corpus.controller.registry.models import Guest, Owner

#: Bytes that a guest may store when nothing else is said
SIZE = 5 << 30
IMAGE = "debian"
#: Seconds that a guest's minion has until it answers
ANSWERS = 60
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?", re.IGNORECASE)


def size_of(given: object) -> int:
    """Return bytes: a whole number, or a text such as ``5G`` or ``512 MB`` (powers of 1024).

    :raises UsageError: it is no size
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = _SIZE.fullmatch(str(given).strip()) if isinstance(given, str) else None
    if match is None or not (found := int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))):
        raise UsageError(f"{shown(given)} is no size: write bytes, or 512M, 5G.")
    return found


#: A guest may be called by its name, its minion's id or its uuid; operations know it by its name.
NAMED = wiring.called(name=wiring.guest)


def owner(session: Session, name: object) -> Owner | None:
    """Return an owner by name, or None."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Owner

    return session.scalar(select(Owner).where(Owner.name == str(name).lower())) if name else None


def facts_of(session: Session, guest: Guest) -> dict[str, Any]:
    """Return what steps must know of a guest, also when the registry knows it no more."""
    from sqlalchemy import select

    from corpus.controller.registry.models import DnsName

    names = session.scalars(select(DnsName.fqdn).where(DnsName.guest_id == guest.id)).all()
    return {
        "name": guest.name,
        "uuid": guest.uuid,
        "minion": guest.minion_id,
        "node": guest.node.name,
        "node_minion": guest.node.minion_id,
        "node_host": guest.node.host,
        "address": guest.address,
        "address6": guest.address6,
        "ssh_port": guest.ssh_port,
        "unprivileged": privileges.is_unprivileged(guest),
        "names": sorted(names),
    }


def credentials(cloud: Cloud) -> Credentials:
    """The credentials of the registry."""
    from corpus.controller.credentials import Credentials

    return Credentials.of(cloud.registry)


def applied(found: Any, minion: str) -> dict[str, Any]:
    """Return what states changed.

    :raises CorpusError: one failed, or they could not be rendered
    """
    if not isinstance(found, Mapping):
        words = " ".join(map(str, found)) if isinstance(found, list) else str(found)
        raise CorpusError(f"The states of {minion} cannot be applied: {words[:500]}")
    failed = [f"{one.get('__id__')}: {one.get('comment')}" for one in found.values() if one.get("result") is False]
    if failed:
        raise CorpusError(f"A state of {minion} failed: {failed[0][:500]}")
    return {str(one.get("__id__")): "changed" for one in found.values() if one.get("changes")}


def confirmed(name: object, confirm: object, test: bool) -> None:
    """:raises UsageError: who deletes did not say the name twice"""
    if not test and confirm != name:
        raise UsageError(f"Deleting {name} loses its data: say confirm={name}.")


def found(run: Run) -> dict[str, Any]:
    """What there is to know of the guest that is meant."""
    with run.cloud.registry.reading() as session:
        return facts_of(session, wiring.guest(session, run.arguments["name"]))


def there(run: Run) -> bool:
    """See that the guest is there; a step that only looks."""
    found(run)
    return False


def done_on_node(run: Run, function: str, *words: Any, timeout: float = 120) -> dict[str, Any]:
    """Let the guest's node do it; return what changed."""
    facts = found(run)
    report = wiring.call(run.cloud, facts["node_minion"], function, facts["name"], *words, timeout=timeout)
    return dict(report.get("changes") or {}) if isinstance(report, Mapping) else {}


def listed(cloud: Cloud, node: str | None = None) -> dict[str, Any]:
    """Return the guests, by name."""
    from sqlalchemy import select
    from sqlalchemy.orm import selectinload

    from corpus.controller.registry.models import Guest

    wanted = (
        select(Guest)
        .order_by(Guest.name)
        .options(selectinload(Guest.node), selectinload(Guest.names), selectinload(Guest.placements))
    )
    with cloud.registry.reading() as session:
        if node is not None:
            wanted = wanted.where(Guest.node_id == wiring.node(session, node).id)
        return {
            guest.name: {
                "state": guest.state,
                "node": guest.node.name,
                "address": guest.address,
                "ssh_port": guest.ssh_port,
                "names": sorted(name.fqdn for name in guest.names),
                "projects": sorted(placement.project.name for placement in guest.placements),
            }
            for guest in session.scalars(wanted)
        }


def infos(cloud: Cloud, name: str, live: bool = True) -> dict[str, Any]:
    """Return what the registry knows of a guest, and what its node says."""
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, name)
        facts = facts_of(session, guest)
        remotes = {one.project.name: projects.pushed_to(guest, one.project.name) for one in guest.placements}
        host = next((fqdn for fqdn in facts["names"] if not fqdn.startswith("*.")), guest.minion_id)
        found: dict[str, Any] = {
            **facts,
            "state": guest.state,
            "type": guest.type,
            "platform": guest.platform.uuid if guest.platform else None,
            "image": f"{guest.image.name}-{guest.image.version}" if guest.image else None,
            "size": guest.size_bytes,
            "memory": guest.memory,
            "cpus": guest.cpus,
            "created": guest.created.isoformat(),
            "ssh": f"ssh -p {guest.ssh_port} root@{host}",
            "keys": {key.fingerprint: key.name for key in guest.keys},
            "projects": remotes,
        }
    if live:
        found["live"] = wiring.call(cloud, facts["node_minion"], "mc_lxc.infos", facts["name"], timeout=30)
    return found


def on_node(cloud: Cloud, name: str, function: str, *words: Any, timeout: float = 60) -> Any:
    """Let a guest's node answer."""
    with cloud.registry.reading() as session:
        guest = wiring.guest(session, name)
        minion, name = guest.node.minion_id, guest.name
    return wiring.call(cloud, minion, function, name, *words, timeout=timeout)


def link(cloud: Cloud, name: str, test: bool = False) -> dict[str, str]:
    """Return a link that shows a guest's root password once."""
    if test:
        with cloud.registry.reading() as session:
            return {"link": "", "show": f"It would show the password of {wiring.guest(session, name).name} once."}
    with cloud.registry.session() as session:
        token = credentials(cloud).link(session, f"guest:{wiring.guest(session, name).uuid}", "root")
    return {"link": token, "show": links.address(cloud.settings.web_url, token)}


def link_for(cloud: Cloud, name: str, digest: str, key: str) -> None:
    """Make a link that shows a guest's root password once, whose token somebody else made.

    :param digest: of the token
    :param key: of the token
    """
    with cloud.registry.session() as session:
        subject = f"guest:{wiring.guest(session, name).uuid}"
        credentials(cloud).link_for(session, subject, "root", digest, key)


def redeemed(cloud: Cloud, token: str) -> dict[str, str]:
    """Return what a link shows."""
    with cloud.registry.session() as session:
        subject, name, value = links.redeem(session, str(token))
    return {"subject": subject, "name": name, "value": value}
