"""Guests and nodes by whatever they are called, and how they are reached: their minions, ssh, the traffic of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from corpus import locks
from corpus.errors import CorpusError, MinionSilent, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller import access, preseed
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import ComputeNode, Guest

#: Seconds that a node may take to change its traffic, and to be waited for by who comes second.
PATIENCE = 60
BRIDGE = "corpus0"
#: Scripts for a machine: let in, or out, the public key that they read.
LET_IN = """\
umask 077; mkdir -p ~root/.ssh; cd ~root/.ssh; touch authorized_keys; read -r line
grep -qxF "$line" authorized_keys || printf '%s\\n' "$line" >> authorized_keys
"""
LET_OUT = """\
umask 077; cd ~root/.ssh && read -r line && { grep -vxF "$line" authorized_keys > .new; cat .new > authorized_keys; rm .new; }
"""


def guest(session: Session, name: object) -> Guest:
    """Return a guest by its name, its minion's id or its uuid.

    :raises UsageError: there is none
    """
    from sqlalchemy import or_, select

    from corpus.controller.registry.models import Guest

    key = str(name)
    found = session.scalar(select(Guest).where(or_(Guest.name == key, Guest.minion_id == key, Guest.uuid == key)))
    if found is None:
        raise UsageError(f"There is no guest {shown(name)}: see mc_guest.list.")
    return found


def node(session: Session, name: object) -> ComputeNode:
    """Return a compute node by its name, its first label, its minion's id, its host, its uuid or a platform's uuid.

    :raises UsageError: there is none, or there are several
    """
    from sqlalchemy import false, or_, select

    from corpus.controller.registry.models import ComputeNode, Platform

    key = str(name)
    short = key.isascii() and key.replace("-", "").isalnum()
    wanted = select(ComputeNode).where(
        or_(
            ComputeNode.name == key,
            ComputeNode.name.like(f"{key}.%") if short else false(),
            ComputeNode.minion_id == key,
            ComputeNode.host == key,
            ComputeNode.uuid == key,
            ComputeNode.id.in_(select(Platform.node_id).where(Platform.uuid == key)),
        )
    )
    found = session.scalars(wanted).all()
    if len(found) > 1:
        raise UsageError(f"{shown(name)} is {len(found)} compute nodes: name one of {_names(found)} in full.")
    if not found:
        raise UsageError(f"There is no compute node {shown(name)}: see mc_compute_node.list.")
    return found[0]


def _names(found: Iterable[ComputeNode]) -> str:
    return ", ".join(sorted(one.name for one in found))


def called(**finders: Callable[[Session, object], Guest | ComputeNode]) -> Callable[..., dict[str, Any]]:
    """Return what finds the registry's own names for those that were typed; a kind of operation has it as ``resolve``.

    :param finders: what finds the thing that an argument names (:func:`guest`, :func:`node`), by the argument; one that
        is a list names several things, and one that was not given none
    """

    def resolve(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with cloud.registry.reading() as session:
            for key, find in finders.items():
                given = arguments.get(key)
                if isinstance(given, list):
                    found[key] = [find(session, one).name for one in given]
                elif given is not None:
                    found[key] = find(session, given).name
        return found

    return resolve


def open_to_guests(at: ComputeNode) -> None:
    """See that a node takes guests; in its turn (:func:`turn_of`), where one is put on it.

    :raises UsageError: it takes none
    """
    if at.state != "ready":
        raise UsageError(f"The compute node {at.name} is {at.state}: it takes no guests.")


def turn_of(session: Session, at: ComputeNode) -> None:
    """Wait until nobody else puts guests on a node or takes it out of use, and read anew what it is.

    The turn is over with the session: a guest is put on a node, and a node is taken away, in the session that looked
    whether that may be.
    """
    from corpus.controller.registry import turns

    turns.take(session, f"node:{at.id}")
    session.refresh(at)


def traffic(cloud: Cloud, at: str, test: bool = False) -> dict[str, Any]:
    """Make a node's traffic what the registry wants; one at a time, so that no older wish overwrites a newer one.

    :param at: the node's name
    :returns: what changed
    """
    from corpus.controller import pillar

    cloud.settings.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    refusal = f"The traffic of {at} is being changed by somebody else: try again."
    with locks.held(cloud.settings.locks / f"traffic-{at}", {}, lambda _note: refusal, wait=PATIENCE):
        with cloud.registry.reading() as session:
            there = node(session, at)
            minion, wish = there.minion_id, pillar.traffic(session, there)
        report = call(cloud, minion, "mc_node.traffic", wish, test=test, timeout=PATIENCE)
    if not isinstance(report, dict):
        raise CorpusError(f"{at} did not change its traffic: {str(report)[:200]}")
    return dict(report.get("changes") or {})


#: What must not be asked for again by itself; everything else does nothing when it was done.
_ONCE = ("mc_seed.create",)


def call(cloud: Cloud, minion: str, function: str, *arguments: Any, timeout: float, **keywords: Any) -> Any:
    """Call a function of a minion; of a report, its failure is ours.

    :raises CorpusError: it failed, with the minion's own words
    """
    try:
        found = cloud.minions.call(minion, function, *arguments, timeout=timeout, **keywords)
    except MinionSilent:  # a machine that is very busy, or restarted just now
        if function in _ONCE or not cloud.minions.answers(minion, timeout=15):
            raise
        found = cloud.minions.call(minion, function, *arguments, timeout=timeout, **keywords)
    if isinstance(found, dict) and found.get("result") is False and "comment" in found:
        raise CorpusError(f"{minion}: {found['comment']}")
    return found


def master(cloud: Cloud) -> preseed.Master:
    """What minions must know of this master."""
    from corpus.controller import preseed

    return preseed.Master.of(cloud.opts, cloud.settings.master_address)


def known_hosts(cloud: Cloud) -> access.KnownHosts:
    """The keys of the machines' and guests' ssh servers."""
    from corpus.controller import access

    return access.KnownHosts(cloud.settings.ssh / "known_hosts")


def target(cloud: Cloud, at: ComputeNode) -> access.Target:
    """How a node is reached by ssh, with its own key."""
    from corpus.controller import access

    known_hosts(cloud).meet(at.host, at.ssh_port)
    return access.Target(
        at.host, cloud.settings.ssh / at.name, cloud.settings.ssh / "known_hosts", at.ssh_port, at.ssh_user
    )
