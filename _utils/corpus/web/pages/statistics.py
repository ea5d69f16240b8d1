"""Delivery: the four DORA figures over time, of all projects that one may see or of one."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.errors import UsageError
from corpus.statistics import place
from corpus.web.pages import charts, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import projects, statistics
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)

_PERIODS = (4, 12, 26, 52)


@router.get("/statistics")
def figures(request: Request, caller: Looking, service: Serving, project: str = "", weeks: int = 12) -> Response:
    """The figures of some weeks."""
    if weeks not in _PERIODS:
        raise UsageError(f"There are figures of {', '.join(map(str, _PERIODS))} weeks.")
    name = project.strip()
    if name:
        found = statistics.get_project_statistics(name, caller, service, weeks, None)
    else:
        found = statistics.get_statistics(caller, service, weeks)
    shown = [
        (
            "Deployment frequency",
            f"{found.frequency_per_week:.1f} a week",
            charts.weeks(found.weeks, "deployments", "deployments"),
        ),
        (
            "Lead time for changes",
            frame.duration(found.lead_time_seconds),
            charts.weeks(found.weeks, "lead_time_seconds", "min", 1 / 60),
        ),
        (
            "Change failure rate",
            _part(found.change_failure_rate),
            charts.weeks(found.weeks, "change_failure_rate", "%", 100),
        ),
        (
            "Time to restore",
            frame.duration(found.time_to_restore_seconds),
            charts.weeks(found.weeks, "time_to_restore_seconds", "min", 1 / 60),
        ),
    ]
    with service.registry.reading() as session:
        names = projects.first_names(session, caller, 200)
    return frame.render(
        request,
        "statistics.html",
        found=found,
        shown=shown,
        project=name,
        weeks=weeks,
        periods=_PERIODS,
        names=names,
        part=_part,
        stages=sorted(found.stages.items(), key=lambda item: place(item[0])),
    )


def _part(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 100:.0f} %"
