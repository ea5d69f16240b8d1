"""What people set on nodes and platforms, by hand: limits, owners, and what the pillar says beside what is computed.

Two people may edit the same thing: who does names what they read (``was``, see :mod:`corpus.controller.revisions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import operations, wiring
from corpus.controller.compute_nodes import MODES
from corpus.controller.operations import Run, Step
from corpus.controller.revisions import unchanged
from corpus.errors import NotThere, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.registry.models import ComputeNode, Owner, Platform


def of_node(node: ComputeNode) -> dict[str, Any]:
    """What people set of a node."""
    return {"slots": node.slots, "settings": dict(node.settings)}


def of_platform(platform: Platform) -> dict[str, Any]:
    """What people set of a platform."""
    return {"owner": platform.owner.name if platform.owner else None, "settings": dict(platform.settings)}


def platform(session: Session, given: object) -> Platform:
    """Return a platform by its uuid.

    :raises NotThere: there is none
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform

    found = session.scalar(select(Platform).where(Platform.uuid == str(given)))
    if found is None:
        raise NotThere(f"There is no platform {shown(given)}: see mc_compute_node.infos.")
    return found


def _owner(session: Session, name: object) -> Owner | None:
    from sqlalchemy import select

    from corpus.controller.registry.models import Owner

    if name is None:
        return None
    found = session.scalar(select(Owner).where(Owner.name == str(name)))
    if found is None:
        raise UsageError(f"There is no owner {shown(name)}: make it with mc_owner.create.")
    return found


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = arguments.get("settings") or {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise UsageError("Settings are a mapping of names.")
    return dict(given)


def _edit(
    find: Callable[[Session, Run], Any],
    read: Callable[[Any], dict[str, Any]],
    write: Callable[[Session, Any, Mapping[str, Any]], None],
    wanted: dict[str, Any],
    was: str | None,
) -> Step:
    """The step that sets what people set, when it is what they read."""

    def so(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            now = read(find(session, run))
        if now == wanted:
            return True
        if "before" not in run.data:
            unchanged(was, now)
        return False

    def change(run: Run) -> dict[str, Any]:
        with run.cloud.registry.reading() as session:
            before = read(find(session, run))
        run.remember(before=run.data.get("before", before))
        with run.cloud.registry.session() as session:
            write(session, find(session, run), wanted)
        return {"changed": sorted(key for key in wanted if wanted[key] != before[key])}

    def back(run: Run) -> None:
        if "before" in run.data:
            with run.cloud.registry.session() as session:
                write(session, find(session, run), run.data["before"])

    return Step("registry", so, change, back, repeatable=True)


def _told(minions: Callable[[Session, Run], list[str]]) -> Step:
    """The step that lets minions read their pillar again."""

    def tell(run: Run) -> list[str]:
        with run.cloud.registry.reading() as session:
            those = minions(session, run)
        for minion in those:
            wiring.call(run.cloud, minion, "saltutil.refresh_pillar", timeout=60)
        return those

    return Step("pillar", None, tell, repeatable=True, essential=False)


@operations.kind(
    "compute_node.configure",
    subject=lambda arguments: f"compute_node:{arguments.get('node')}",
    resolve=wiring.called(node=wiring.node),
)
def configuring_node(arguments: Mapping[str, Any]) -> list[Step]:
    """All that is set of a node: node, settings, slots (None: no limit), was."""
    slots = arguments.get("slots")
    if slots is not None and (not isinstance(slots, int) or isinstance(slots, bool) or slots < 1):
        raise UsageError(f"{shown(slots)} is no number of guests: at least 1, or none for no limit.")

    def find(session: Session, run: Run) -> ComputeNode:
        return wiring.node(session, run.arguments["node"])

    def write(session: Session, node: ComputeNode, content: Mapping[str, Any]) -> None:
        node.slots, node.settings = content["slots"], dict(content["settings"])

    wanted = {"slots": slots, "settings": _settings(arguments)}
    return [
        _edit(find, of_node, write, wanted, arguments.get("was")),
        _told(lambda session, run: [find(session, run).minion_id]),
    ]


def _by_uuid(arguments: Mapping[str, Any]) -> str:
    return f"platform:{arguments.get('platform')}"


@operations.kind("platform.configure", subject=_by_uuid)
def configuring_platform(arguments: Mapping[str, Any]) -> list[Step]:
    """All that is set of a platform: platform (its uuid), owner (None: nobody), settings, was."""

    def find(session: Session, run: Run) -> Platform:
        return platform(session, run.arguments["platform"])

    def write(session: Session, there: Platform, content: Mapping[str, Any]) -> None:
        there.owner, there.settings = _owner(session, content["owner"]), dict(content["settings"])

    def known(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            _owner(session, arguments.get("owner"))
        return True

    wanted = {"owner": arguments.get("owner"), "settings": _settings(arguments)}
    return [
        Step("owner", known, None, repeatable=True),
        _edit(find, of_platform, write, wanted, arguments.get("was")),
        _told(
            lambda session, run: [guest.minion_id for guest in find(session, run).guests if guest.state == "running"]
        ),
    ]


@operations.kind(
    "platform.create",
    subject=lambda arguments: f"compute_node:{arguments.get('node')}",
    resolve=wiring.called(node=wiring.node),
)
def creating_platform(arguments: Mapping[str, Any]) -> list[Step]:
    """One more environment on a node: node, type, mode (None: the type's), owner, settings. Facts have its uuid."""
    kind = arguments.get("type", "prod")
    if kind not in MODES:
        raise UsageError(f"{shown(kind)} is no type of platform: there are {', '.join(MODES)}.")
    mode = arguments.get("mode") or MODES[kind]
    if mode not in MODES.values():
        raise UsageError(f"{shown(mode)} is no operation mode: there are {', '.join(MODES.values())}.")

    def possible(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            node = wiring.node(session, run.arguments["node"])
            if node.state not in ("ready", "draining"):
                raise UsageError(f"The compute node {node.name} is {node.state}: it takes no platform.")
            _owner(session, run.arguments.get("owner"))
        return False

    def register(run: Run) -> str:
        from corpus.controller.registry.models import Platform, new_uuid

        run.remember(platform=run.data.get("platform", new_uuid()))
        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            owner = _owner(session, run.arguments.get("owner"))
            session.add(
                Platform(
                    uuid=run.data["platform"],
                    node_id=node.id,
                    owner_id=owner.id if owner else None,
                    type=kind,
                    operation_mode=mode,
                    settings=_settings(arguments),
                )
            )
        return str(run.data["platform"])

    def unregister(run: Run) -> None:
        if "platform" in run.data:
            _remove(run, str(run.data["platform"]))

    return [Step("registry", possible, register, unregister)]


@operations.kind("platform.delete", subject=_by_uuid, forward=True)
def deleting_platform(arguments: Mapping[str, Any]) -> list[Step]:
    """An environment without guests: platform (its uuid)."""

    def empty(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            guests = sorted(guest.name for guest in platform(session, run.arguments["platform"]).guests)
        if guests:
            raise UsageError(f"The platform has guests: delete or move {', '.join(guests[:5])} first.")
        return False

    def remove(run: Run) -> None:
        _remove(run, str(run.arguments["platform"]))

    return [Step("registry", empty, remove, repeatable=True)]


def _remove(run: Run, uuid: str) -> None:
    from sqlalchemy import delete

    from corpus.controller.registry.models import Platform

    with run.cloud.registry.session() as session:
        session.execute(delete(Platform).where(Platform.uuid == uuid))
