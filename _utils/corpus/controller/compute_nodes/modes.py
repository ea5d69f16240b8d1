"""Operation modes of platforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import compute_nodes, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@operations.kind("compute_node.switchmode", subject=lambda arguments: f"platform:{arguments.get('platform')}")
def switching(arguments: Mapping[str, Any]) -> list[Step]:
    """The platform's mode, and that of the projects on its guests."""
    mode = arguments.get("mode")
    if mode not in compute_nodes.MODES.values():
        raise UsageError(f"{shown(mode)} is no operation mode: there are {', '.join(compute_nodes.MODES.values())}.")

    def register(run: Run) -> str:
        with run.cloud.registry.session() as session:
            platform = _platform(session, run.arguments["platform"])
            run.data["old"] = run.data.get("old", platform.operation_mode)
            platform.operation_mode = str(mode)
        run.remember()
        return f"{mode}, was {run.data['old']}"

    def back(run: Run) -> None:
        if "old" in run.data:
            with run.cloud.registry.session() as session:
                _platform(session, run.arguments["platform"]).operation_mode = run.data["old"]
            tell(run, run.data["old"])

    def tell(run: Run, wanted: str) -> list[str]:
        with run.cloud.registry.reading() as session:
            places = [
                (guest.minion_id, placement.project.name)
                for guest in _platform(session, run.arguments["platform"]).guests
                for placement in guest.placements
            ]
        for minion, project in places:
            wiring.call(run.cloud, minion, "mc_project.set_configuration", project, operation_mode=wanted, timeout=120)
        return [f"{project} on {minion}" for minion, project in places]

    return [
        Step("registry", None, register, back, repeatable=True),
        Step("projects", None, lambda run: tell(run, str(mode)), repeatable=True),
    ]


def _platform(session: Session, given: object) -> Any:
    """:raises UsageError: there is none of that uuid"""
    from sqlalchemy import select

    from corpus.controller.registry.models import Platform

    found = session.scalar(select(Platform).where(Platform.uuid == str(given)))
    if found is None:
        raise UsageError(f"There is no platform {shown(given)}: see mc_compute_node.infos.")
    return found
