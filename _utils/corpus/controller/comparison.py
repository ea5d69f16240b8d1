"""The registry against the world: containers, traffic, names and keys as they are, beside what they should be.

What is missing or stands the wrong way can be put right by whoever may. What nobody asked for (a container, a key that the
registry does not know) is told and left alone: it may be all that is left of something.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.controller import pillar
from corpus.controller.credentials import Credentials
from corpus.controller.registry.models import ComputeNode, Credential, Guest, Image, NodeImage, Operation, SshKey
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError
from corpus.identifiers import shown

_T = TypeVar("_T")
_M = TypeVar("_M")
#: States of guests that something works on right now, or did when it died.
_PASSING = ("creating", "moving", "deleting")
_ASKED_AT_ONCE = 8
#: Keys of one guest that the registry does not know
_SHOWN = 20


class World(Protocol):
    """What is asked for facts, and does what puts them right. A node goes by its minion's id, a guest by its name."""

    def containers(self, node: str) -> Mapping[str, bool]:
        """The containers of a node, and whether each runs."""

    def images(self, node: str) -> Iterable[str]:
        """The images in a node's pool, ``<name>-<version>``."""

    def traffic(self, node: str, wanted: Mapping[str, Any], test: bool) -> Mapping[str, Any]:
        """What differs in a node's traffic from what is wanted; and, unless ``test``, settle it."""

    def names(self, test: bool) -> Mapping[str, Mapping[str, str]]:
        """What differs in DNS from the registry, old and new by name; and, unless ``test``, settle it."""

    def keys(self) -> set[str]:
        """The minions whose keys are accepted."""

    def let_in(self, minion: str) -> Mapping[str, str]:
        """The public ssh keys that a machine lets in as root: fingerprints, and the comment of each."""

    def admit(self, minion: str, public: str) -> None:
        """Let a public ssh key in as root."""

    def start(self, node: str, guest: str) -> None:
        """Start a container."""

    def stop(self, node: str, guest: str) -> None:
        """Stop a container."""


@dataclass
class Difference:
    """Something that is not as the registry says.

    :param kind: ``node``, ``container``, ``image``, ``traffic``, ``name``, ``key`` (of a minion), ``ssh`` or ``registry``
    :param subject: what it is about
    :param message: a sentence
    :param repair: puts it right; None: that is for a person
    :param repaired: whether that was done
    :param trouble: why it could not be done
    """

    kind: str
    subject: str
    message: str
    repair: Callable[[], object] | None = field(default=None, repr=False)
    repaired: bool = False
    trouble: str | None = None

    def plain(self) -> dict[str, Any]:
        """As a runner returns it."""
        told: dict[str, Any] = {"kind": self.kind, "subject": self.subject, "message": self.message}
        told |= {"repairable": self.repair is not None, "repaired": self.repaired}
        return told | ({"trouble": self.trouble} if self.trouble else {})


@dataclass(frozen=True)
class _Node:
    """What the registry says of a node, without its session."""

    name: str
    minion: str
    images: frozenset[str]
    traffic: Mapping[str, Any]
    admitted: Mapping[str, str]
    """Public ssh keys by fingerprint"""


@dataclass(frozen=True)
class _Guest:
    name: str
    minion: str
    node: str
    state: str
    admitted: Mapping[str, str]


def check(registry: Registry, world: World, fix: bool = False) -> dict[str, Any]:
    """Compare, and with ``fix`` put right what can be; return ``{result, retcode, comment, differences}``.

    ``result`` is False when something differs that was not put right. What cannot be asked is a difference, too.
    """
    with registry.reading() as session:
        differences = list(_in_itself(session, Credentials.of(registry)))
        busy = bool(
            session.scalars(select(Operation.id).where(Operation.state.in_(("running", "undoing"))).limit(1)).all()
        )
        nodes = [_known(session, node) for node in session.scalars(_asked())]
        guests = _guests(session)
        attached = set(
            session.scalars(select(ComputeNode.minion_id).where(ComputeNode.state.in_(("ready", "draining"))))
        )
    if not busy:
        differences += [
            Difference(
                "registry",
                one.name,
                f"The guest {one.name} is {one.state}, and nothing works on it: run mc_controller.resume.",
            )
            for one in guests
            if one.state in _PASSING
        ]
    answers = _each(nodes, lambda node: _answer(lambda: world.containers(node.minion)))
    containers = dict(zip((node.name for node in nodes), answers, strict=True))
    differences += _containers(nodes, guests, containers, world)
    for found in _each(nodes, lambda node: list(_of_node(node, world))):
        differences += found
    for found in _each(_awake(guests, containers), lambda guest: list(_of_guest(guest, world))):
        differences += found
    differences += _tried("DNS", lambda: list(_names(world)))
    settled = {one.minion for one in guests if one.state not in ("creating", "deleting")}
    expected = {one.minion for one in guests} | attached
    differences += _tried("the master's keys", lambda: list(_keys(world, settled | attached, expected)))
    if fix:
        _repair(differences)
    left = [one for one in differences if not one.repaired]
    return {
        "result": not left,
        "retcode": 1 if left else 0,
        "comment": _sentence(len(differences), len(differences) - len(left)),
        "differences": [one.plain() for one in differences],
    }


def _asked() -> Any:
    return select(ComputeNode).where(ComputeNode.state.in_(("ready", "draining"))).order_by(ComputeNode.name)


def _known(session: Session, node: ComputeNode) -> _Node:
    images = session.scalars(
        select(Image.name + "-" + Image.version).join(NodeImage).where(NodeImage.node_id == node.id)
    )
    admitted = {key.fingerprint: key.public for key in node.keys}
    return _Node(node.name, node.minion_id, frozenset(images), pillar.traffic(session, node), admitted)


def _guests(session: Session) -> list[_Guest]:
    admitted: dict[int | None, dict[str, str]] = defaultdict(dict)
    keys = select(SshKey.guest_id, SshKey.fingerprint, SshKey.public).where(SshKey.guest_id.is_not(None))
    for guest, fingerprint, public in session.execute(keys):
        admitted[guest][fingerprint] = public
    rows = session.execute(
        select(Guest.id, Guest.name, Guest.minion_id, ComputeNode.name, Guest.state)
        .join(ComputeNode, Guest.node_id == ComputeNode.id)
        .order_by(Guest.name)
    )
    return [_Guest(name, minion, node, state, admitted[key]) for key, name, minion, node, state in rows]


def _awake(guests: list[_Guest], containers: Mapping[str, Mapping[str, bool] | CorpusError]) -> list[_Guest]:
    """The guests that run, as they should."""
    running = {
        (node, name)
        for node, names in containers.items()
        if not isinstance(names, CorpusError)
        for name, runs in names.items()
        if runs
    }
    return [guest for guest in guests if guest.state == "running" and (guest.node, guest.name) in running]


def _in_itself(session: Session, credentials: Credentials) -> Iterator[Difference]:
    """What the database's constraints cannot see."""
    both = select(Guest.minion_id).join(ComputeNode, ComputeNode.minion_id == Guest.minion_id)
    for minion in session.scalars(both):
        yield Difference("registry", minion, f"The minion id {minion} is a compute node's and a guest's.")
    rows = session.execute(
        select(
            *(Guest.name, Guest.address, Guest.address6),
            *(ComputeNode.name, ComputeNode.network, ComputeNode.network6),
        ).join(ComputeNode, Guest.node_id == ComputeNode.id)
    )
    for guest, address, address6, node, network, network6 in rows:
        for own, around in ((address, network), (address6, network6)):
            if own and (not around or ipaddress.ip_address(own) not in ipaddress.ip_network(around)):
                yield Difference(
                    "registry", guest, f"The guest {guest} has {own}, which is not in a network of {node}."
                )
    for credential in session.scalars(select(Credential).order_by(Credential.subject, Credential.name)):
        try:
            credentials.decrypted(credential)
        except CorpusError as err:
            yield Difference("registry", credential.subject, str(err))


def _containers(
    nodes: list[_Node],
    guests: list[_Guest],
    containers: Mapping[str, Mapping[str, bool] | CorpusError],
    world: World,
) -> Iterator[Difference]:
    """Containers of all nodes together: one that is missing here may be there."""
    found: dict[str, Mapping[str, bool]] = {}
    for name, answer in containers.items():
        if isinstance(answer, CorpusError):
            yield Difference("node", name, f"The containers of {name} are not known: {answer}")
        else:
            found[name] = answer
    minions = {node.name: node.minion for node in nodes}
    wanted = {(guest.node, guest.name): guest for guest in guests}
    moving = {guest.name for guest in guests if guest.state == "moving"}
    for guest in guests:
        there = found.get(guest.node)
        if there is None or guest.state in (*_PASSING, "failed"):
            continue
        minion, runs = minions[guest.node], there.get(guest.name)
        if runs is None:
            elsewhere = [node for node, names in found.items() if guest.name in names]
            where = f"; {elsewhere[0]} has one of that name" if elsewhere else ""
            yield Difference(
                "container", guest.name, f"{guest.node} has no container of the guest {guest.name}{where}."
            )
        elif runs and guest.state == "stopped":
            stop = _call(world.stop, minion, guest.name)
            yield Difference("container", guest.name, f"The guest {guest.name} should be stopped, and runs.", stop)
        elif not runs and guest.state == "running":
            start = _call(world.start, minion, guest.name)
            yield Difference("container", guest.name, f"The guest {guest.name} should run, and is stopped.", start)
    for node_name, names in found.items():
        for name in sorted(names):
            if (node_name, name) not in wanted and name not in moving:
                message = f"{node_name} has a container {name} that the registry does not know there."
                yield Difference("container", name, message)


def _of_node(node: _Node, world: World) -> Iterator[Difference]:
    images = _answer(lambda: frozenset(world.images(node.minion)))
    if not isinstance(images, CorpusError):  # else its containers were not known either, and that is told
        for image in sorted(node.images - images):
            message = f"{node.name} has no image {image}: run mc_compute_node.image_sync."
            yield Difference("image", f"{node.name} {image}", message)
    changes = _answer(lambda: world.traffic(node.minion, node.traffic, True))
    if isinstance(changes, CorpusError):
        yield Difference("node", node.name, f"The traffic of {node.name} is not known: {changes}")
    elif changes:
        settle = _call(world.traffic, node.minion, node.traffic, False)
        words = f"The traffic of {node.name} is not what it should be ({', '.join(sorted(changes))})."
        yield Difference("traffic", node.name, words, settle)
    if not isinstance(images, CorpusError):
        yield from _ssh(node, world)


def _of_guest(guest: _Guest, world: World) -> Iterator[Difference]:
    there = yield from _ssh(guest, world)
    unknown = sorted(set(there) - set(guest.admitted))
    for fingerprint in unknown[:_SHOWN]:  # who is root there can write as many as they like
        comment = f" ({shown(there[fingerprint])})" if there[fingerprint] else ""
        message = (
            f"{guest.name} lets in the key {fingerprint}{comment} as root, which the registry does not know there."
        )
        yield Difference("ssh", guest.name, message)


def _ssh(machine: _Node | _Guest, world: World) -> Generator[Difference, None, Mapping[str, str]]:
    """Keys that are not let in. A node may let in others: it was somebody's machine before."""
    there = _answer(lambda: world.let_in(machine.minion))
    if isinstance(there, CorpusError):
        yield Difference("ssh", machine.name, f"Whom {machine.name} lets in is not known: {there}")
        return {}
    for fingerprint in sorted(set(machine.admitted) - set(there)):
        admit = _call(world.admit, machine.minion, machine.admitted[fingerprint])
        message = f"{machine.name} does not let in the key {fingerprint} as root."
        yield Difference("ssh", machine.name, message, admit)
    return there


def _names(world: World) -> Iterator[Difference]:
    once: list[bool] = []

    def settle() -> None:
        if not once:  # for all of them together
            world.names(False)
            once.append(True)

    for name, change in world.names(True).items():
        old, new = change.get("old") or "nothing", change.get("new") or "nothing"
        yield Difference("name", name, f"DNS has {old} for {name} and should have {new}.", settle)


def _keys(world: World, wanted: set[str], known: set[str]) -> Iterator[Difference]:
    accepted = world.keys()
    for minion in sorted(wanted - accepted):
        yield Difference("key", minion, f"The master has not accepted a key of {minion}: it cannot be asked anything.")
    for minion in sorted(accepted - known):
        message = f"The master has accepted a key of {minion}, which is neither node nor guest: salt-key -d {minion}."
        yield Difference("key", minion, message)


def _repair(differences: list[Difference]) -> None:
    for one in differences:
        if one.repair is None:
            continue
        try:
            one.repair()
            one.repaired = True
        except CorpusError as err:
            one.trouble = str(err)


def _call(work: Callable[..., object], *arguments: Any) -> Callable[[], object]:
    return lambda: work(*arguments)


def _answer(ask: Callable[[], _T]) -> _T | CorpusError:
    try:
        return ask()
    except CorpusError as err:
        return err


def _tried(what: str, ask: Callable[[], list[Difference]]) -> list[Difference]:
    found = _answer(ask)
    return [Difference("node", what, f"{what} cannot be asked: {found}")] if isinstance(found, CorpusError) else found


def _each(machines: list[_M], ask: Callable[[_M], _T]) -> list[_T]:
    """Several machines are asked at a time: one that is gone lets us wait."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
        return list(threads.map(ask, machines))


def _sentence(count: int, repaired: int) -> str:
    if not count:
        return "The world is as the registry says."
    things = "1 difference" if count == 1 else f"{count} differences"
    return f"{things}, {repaired} of them put right." if repaired else f"{things}."
