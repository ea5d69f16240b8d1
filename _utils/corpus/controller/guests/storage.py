"""What guests store: more, less, and as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.controller import guests, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError


def _wished(run: Run, sign: int) -> int:
    """The size that is asked for: a whole one, or one that is added (``+2G``) or taken away (``-2G``).

    :raises UsageError: it is no size, or not in the direction that was asked for
    """
    given = run.arguments.get("size")
    with run.cloud.registry.reading() as session:
        now = wiring.guest(session, run.arguments["name"]).size_bytes or guests.SIZE
    mark = "+" if sign > 0 else "-"
    relative = isinstance(given, str) and given.strip().startswith(mark)
    wish = now + sign * guests.size_of(str(given).strip()[1:]) if relative else guests.size_of(given)
    if wish <= 0 or (wish - now) * sign < 0:
        word = "enlarge" if sign > 0 else "trim"
        raise UsageError(f"{run.arguments['name']} may store {now} bytes now: {word} cannot make that {wish}.")
    return wish


def _resizing(sign: int) -> list[Step]:
    def known(run: Run) -> bool:
        if "old" not in run.data:
            with run.cloud.registry.reading() as session:
                old = wiring.guest(session, run.arguments["name"]).size_bytes or guests.SIZE
            wish = _wished(run, sign)
            run.data.update(old=old, size=wish)
        return False

    def resize(run: Run) -> dict[str, Any]:
        run.remember()
        changes = guests.done_on_node(run, "mc_lxc.resize", run.data["size"])
        with run.cloud.registry.session() as session:
            wiring.guest(session, run.arguments["name"]).size_bytes = run.data["size"]
        return changes

    def back(run: Run) -> None:
        guests.done_on_node(run, "mc_lxc.resize", run.data["old"])
        with run.cloud.registry.session() as session:
            wiring.guest(session, run.arguments["name"]).size_bytes = run.data["old"]

    return [Step("size", known), Step("quota", None, resize, back, repeatable=True)]


@operations.kind("guest.enlarge", resolve=guests.NAMED)
def enlarging(arguments: Mapping[str, Any]) -> list[Step]:
    """Set the quota."""
    return _resizing(+1)


@operations.kind("guest.trim", resolve=guests.NAMED)
def trimming(arguments: Mapping[str, Any]) -> list[Step]:
    """Set the quota; the node refuses one below what is used."""
    return _resizing(-1)


@operations.kind("guest.snapshot", resolve=guests.NAMED)
def keeping(arguments: Mapping[str, Any]) -> list[Step]:
    """Take a snapshot; an older one of the same label is never touched."""

    def unlabelled(run: Run) -> bool:
        name, label = run.arguments["name"], run.arguments["label"]
        if str(label) in guests.on_node(run.cloud, name, "mc_lxc.snapshots"):
            raise UsageError(
                f"{name} has a snapshot {label} already: choose another label, or delete it (mc_guest.delete_snapshot)."
            )
        return False

    def keep(run: Run) -> dict[str, Any]:
        return guests.done_on_node(run, "mc_lxc.snapshot", run.arguments["label"], timeout=600)

    def drop(run: Run) -> None:
        guests.done_on_node(run, "mc_lxc.delete_snapshot", run.arguments["label"], timeout=600)

    return [Step("label", unlabelled), Step("snapshot", None, keep, drop)]


@operations.kind("guest.restore", forward=True, resolve=guests.NAMED)
def restoring(arguments: Mapping[str, Any]) -> list[Step]:
    """Go back to a snapshot; what was since is gone."""

    def restore(run: Run) -> dict[str, Any]:
        changes = guests.done_on_node(run, "mc_lxc.restore", run.arguments["label"], timeout=600)
        facts = guests.found(run)
        with run.cloud.registry.reading() as session:
            stopped = wiring.guest(session, run.arguments["name"]).state == "stopped"
        if not stopped:
            guests.done_on_node(run, "mc_lxc.start")
            run.cloud.minions.wait_for(facts["minion"], guests.ANSWERS)
        return changes

    return [Step("guest", guests.there), Step("restore", None, restore, repeatable=True)]


@operations.kind("guest.delete_snapshot", forward=True, resolve=guests.NAMED)
def dropping(arguments: Mapping[str, Any]) -> list[Step]:
    """Forget a snapshot."""

    def drop(run: Run) -> dict[str, Any]:
        return guests.done_on_node(run, "mc_lxc.delete_snapshot", run.arguments["label"], timeout=600)

    return [Step("guest", guests.there), Step("snapshot", None, drop, repeatable=True)]
