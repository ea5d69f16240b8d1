"""Guests that start and stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.controller import guests, operations, wiring
from corpus.controller.operations import Run, Step


def _set_state(run: Run, state: str) -> None:
    with run.cloud.registry.session() as session:
        wiring.guest(session, run.arguments["name"]).state = state


@operations.kind("guest.start", resolve=guests.NAMED)
def starting(arguments: Mapping[str, Any]) -> list[Step]:
    """Start it, wait for it."""

    def start(run: Run) -> dict[str, Any]:
        changes = guests.done_on_node(run, "mc_lxc.start")
        run.cloud.minions.wait_for(guests.found(run)["minion"], guests.ANSWERS)
        _set_state(run, "running")
        return changes

    return [Step("guest", guests.there), Step("start", None, start, repeatable=True)]


@operations.kind("guest.stop", resolve=guests.NAMED)
def stopping(arguments: Mapping[str, Any]) -> list[Step]:
    """Stop it."""

    def stop(run: Run) -> dict[str, Any]:
        changes = guests.done_on_node(run, "mc_lxc.stop")
        _set_state(run, "stopped")
        return changes

    return [Step("guest", guests.there), Step("stop", None, stop, repeatable=True)]


@operations.kind("guest.restart", resolve=guests.NAMED)
def restarting(arguments: Mapping[str, Any]) -> list[Step]:
    """Stop it, start it, wait for it."""

    def restart(run: Run) -> dict[str, Any]:
        changes = guests.done_on_node(run, "mc_lxc.restart")
        run.cloud.minions.wait_for(guests.found(run)["minion"], guests.ANSWERS)
        _set_state(run, "running")
        return changes

    return [Step("guest", guests.there), Step("restart", None, restart, repeatable=True)]
