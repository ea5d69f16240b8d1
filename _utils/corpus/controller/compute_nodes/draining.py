"""Compute nodes that take no new guests, and take them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.controller import compute_nodes, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, UsageError


@operations.kind("compute_node.drain", subject=compute_nodes.subject, resolve=compute_nodes.NAMED, forward=True)
def draining(arguments: Mapping[str, Any]) -> list[Step]:
    """No new guests; with ``to``, those that are there move, one after the other."""

    def drain(run: Run) -> str:
        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            wiring.turn_of(session, node)
            if node.state not in ("ready", "draining"):
                raise UsageError(f"{node.name} is {node.state}: it takes no guests anyway.")
            node.state = "draining"
            names = sorted(guest.name for guest in node.guests)
        run.remember(name=node.name, guests=names)
        return f"{node.name} takes no guests; it has {len(names)}"

    def move(run: Run) -> dict[str, str]:
        moved = {}
        with run.cloud.registry.reading() as session:  # those that moved before we were interrupted are away
            left = {guest.name for guest in wiring.node(session, run.data["name"]).guests}
        for name in run.data["guests"]:
            if name not in left:
                continue
            report = operations.run(run.cloud, "guest.move", {"name": name, "node": run.arguments["to"]}, run.who)
            if not report["result"]:
                raise CorpusError(f"{name} stays: {report['comment']}")
            moved[name] = str(run.arguments["to"])
        return moved

    steps = [Step("no new guests", None, drain, repeatable=True)]
    return [*steps, Step("moves", None, move, repeatable=True)] if arguments.get("to") else steps


@operations.kind("compute_node.undrain", subject=compute_nodes.subject, resolve=compute_nodes.NAMED)
def filling(arguments: Mapping[str, Any]) -> list[Step]:
    """New guests again."""

    def fill(run: Run) -> str:
        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            if node.state != "draining":
                raise UsageError(f"{node.name} is {node.state}, not draining.")
            node.state = "ready"
        return f"{node.name} takes guests"

    return [Step("new guests", None, fill, repeatable=True)]
