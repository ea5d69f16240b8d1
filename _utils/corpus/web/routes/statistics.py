"""How projects are delivered: the four DORA figures, over time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from corpus.controller import delivery
from corpus.web.login import Asking
from corpus.web.routes.deployments import visible
from corpus.web.routes.projects import At, Name, seen
from corpus.web.service import Serving

router = APIRouter(tags=["statistics"])

Weeks = Annotated[int, Query(ge=1, le=104, description="How far to look back")]


class Spread(BaseModel):
    """How long something takes."""

    count: int
    median: float | None = Field(description="Seconds")
    p95: float | None = Field(description="Seconds")


class Week(BaseModel):
    """Seven days."""

    begin: str = Field(description="Its first day", examples=["2026-01-26"])
    deployments: int
    refused: int
    lead_time_seconds: float | None
    change_failure_rate: float | None
    time_to_restore_seconds: float | None
    seconds: Spread


class Person(BaseModel):
    """Who deploys."""

    who: str
    deployments: int


class Figures(BaseModel):
    """How projects are delivered. A figure is null when nothing tells it."""

    days: float
    deployments: int = Field(description="That reached users")
    rollbacks: int
    refused: int = Field(description="Pushes that never reached users")
    frequency_per_week: float = Field(description="Deployment frequency")
    lead_time_seconds: float | None = Field(description="From commit to users, the median")
    change_failure_rate: float | None = Field(description="Part of the deployments that had to be taken back")
    time_to_restore_seconds: float | None = Field(description="From such a one until that was done, the median")
    refused_rate: float | None
    mend_refused_seconds: float | None = Field(description="From a refused push to one that got through, the median")
    seconds: Spread = Field(description="That deployments take")
    stages: dict[str, Spread]
    weeks: list[Week] = Field(description="The oldest first")
    people: list[Person]
    complete: bool = Field(
        description=f"False: there were more, and the newest {delivery.MOST} of them were looked at; "
        f"of several projects together, {delivery.MOST_TOGETHER}"
    )


@router.get("/statistics")
def get_statistics(caller: Asking, service: Serving, weeks: Weeks = 12) -> Figures:
    """The figures of all projects that one may see, together."""
    with service.registry.reading() as session:
        projects = visible(session, caller, "project.stats")
        return _figures(delivery.figures(session, projects, weeks * 7))


@router.get("/projects/{name}/statistics")
def get_project_statistics(
    name: Name, caller: Asking, service: Serving, weeks: Weeks = 12, guest: At = None
) -> Figures:
    """The figures of one project, on one or all of its guests."""
    with service.registry.reading() as session:
        project = seen(session, caller, name, action="project.stats")
        return _figures(delivery.figures(session, [project.id], weeks * 7, guest))


def _figures(found: delivery.Figures) -> Figures:
    weeks = [{**week, "begin": week["from"]} for week in found.told["weeks"]]
    return Figures.model_validate({**found.told, "weeks": weeks, "complete": found.complete})
