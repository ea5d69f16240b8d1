"""Guests that are deleted, or whose making is undone: traffic, names, container, credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import guests, names, operations, wiring
from corpus.controller.operations import Run, Step

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def destroy(run: Run) -> None:
    """Remove container and keys, which go by the guest's name; not those of another guest that has the name now."""
    from sqlalchemy import select

    from corpus.controller import preseed
    from corpus.controller.registry.models import Guest

    facts = run.data["guest"]
    with run.cloud.registry.reading() as session:
        now = session.scalar(select(Guest.uuid).where(Guest.name == facts["name"]))
    if now not in (None, facts["uuid"]):
        return

    wiring.call(run.cloud, facts["node_minion"], "mc_lxc.destroy", facts["name"], timeout=120)
    preseed.forget(wiring.master(run.cloud), facts["minion"])
    for known in {facts["node_host"], *(one for one in facts["names"] if not one.startswith("*."))}:
        wiring.known_hosts(run.cloud).forget(known, facts["ssh_port"])


def unname(run: Run) -> None:
    """Take its names out of the registry and out of DNS."""
    facts = run.data.get("guest")
    if facts is None:
        return
    with run.cloud.registry.session() as session:
        _forget_names(session, facts)
    names.registered(run, [*facts["names"], facts["address"], facts["address6"]])


def _forget_names(session: Session, facts: Mapping[str, Any]) -> None:
    """Take a guest's names out of the registry; its address stays its own while its container is there."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
    if found is None:
        return
    found.state = "deleting"
    for name in list(found.names):
        session.delete(name)


def unwire(run: Run) -> None:
    """Let its node lead nobody to it any more."""
    facts = run.data.get("guest")
    if facts is None:
        return
    with run.cloud.registry.session() as session:
        from sqlalchemy import select

        from corpus.controller.registry.models import Guest

        found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
        if found is not None:
            found.state = "deleting"
    wiring.traffic(run.cloud, facts["node"])


@operations.kind("guest.delete", forward=True, resolve=guests.NAMED)
def deletion(arguments: Mapping[str, Any]) -> list[Step]:
    """What was begun is finished: half a guest is of no use to anybody."""
    return [
        Step("guest", None, _doomed, None, repeatable=True),
        Step("traffic", None, unwire, None, repeatable=True),
        Step("DNS", None, unname, None, repeatable=True),
        Step("container", None, destroy, None, repeatable=True),
        Step("credentials and registry", None, _forget, None, repeatable=True),
    ]


def _doomed(run: Run) -> str:
    with run.cloud.registry.session() as session:
        known = run.data.get("guest")  # by another name for it, it could be a later guest
        found = wiring.guest(session, known["uuid"] if known else run.arguments["name"])
        facts = guests.facts_of(session, found)
        found.state = "deleting"
    if "guest" not in run.data:
        run.remember(guest=facts)
    return f"{facts['name']} on {facts['node']}"


def _forget(run: Run) -> str:
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest

    facts = run.data["guest"]
    with run.cloud.registry.session() as session:
        guests.credentials(run.cloud).forget(session, f"guest:{facts['uuid']}")
        found = session.scalar(select(Guest).where(Guest.uuid == facts["uuid"]))
        if found is not None:
            session.delete(found)
    names.registered(run, [*facts["names"], facts["address"], facts["address6"]])
    return f"{facts['name']} is forgotten"
