"""Deployments: what was deployed where, how it went, and what it brought."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, or_, select, union_all
from sqlalchemy.orm import Session, joinedload

from corpus.controller import permissions
from corpus.controller.registry.models import Deployment, Project
from corpus.errors import NotThere, UsageError
from corpus.identifiers import shown
from corpus.statistics import place
from corpus.web.login import Asking, Caller
from corpus.web.routes.projects import At, Lines, Name, seen
from corpus.web.schemas import After, Limit, Page
from corpus.web.service import Service, Serving

router = APIRouter(tags=["deployments"])

#: What a token must be good for.
_LISTED = "project.deployments"
#: So many projects are looked at one by one: each has its newest deployments in an index.
_APART = 50
_CURSOR = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-(\d{1,18})")
_MOMENT = "%Y%m%dT%H%M%S.%fZ"

Id = Annotated[str, Path(max_length=100, description="The deployment's id")]
Since = Annotated[datetime.datetime | None, Query(description="Only those that began then or later")]
Until = Annotated[datetime.datetime | None, Query(description="Only those that began before")]
Result = Annotated[bool | None, Query(description="Only those that ended so")]


class DeploymentInfo(BaseModel):
    """A deployment."""

    deployment: str = Field(description="The guest's id of it", examples=["20260131T120000Z-1a2b3c4d"])
    project: str = Field(examples=["shop"])
    guest: str = Field(examples=["web1"])
    kind: str = Field(description="deploy, rollback, env …", examples=["deploy"])
    result: bool
    comment: str
    who: str | None
    when: datetime.datetime | None
    seconds: float | None
    revision: str | None
    release: str | None
    mode: str | None = Field(examples=["final"])


class StageInfo(BaseModel):
    """A stage of a deployment."""

    stage: str = Field(examples=["build"])
    result: bool | None = Field(description="None: it was not run")
    seconds: float
    comment: str
    changed: int = Field(description="How many states changed something")


class DeploymentDetail(DeploymentInfo):
    """A deployment, with its stages."""

    previous: str | None = Field(description="The release that ran before")
    strategy: str
    summary: str
    notes: list[str]
    stages: list[StageInfo]


class DeploymentReport(BaseModel):
    """Everything that a deployment's report tells."""

    guest: str
    report: dict[str, Any] = Field(description="Commits, files, packages, services, tests and states; corpus.report/1")


@router.get("/deployments")
def list_deployments(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    guest: At = None,
    result: Result = None,
    since: Since = None,
    until: Until = None,
) -> Page[DeploymentInfo]:
    """The deployments of all projects that one may see, the newest first."""
    with service.registry.reading() as session:
        projects = visible(session, caller, _LISTED)
        return _page(session, projects, _conditions(after, guest, result, since, until), limit)


@router.get("/projects/{name}/deployments")
def list_project_deployments(
    name: Name,
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    guest: At = None,
    result: Result = None,
    since: Since = None,
    until: Until = None,
) -> Page[DeploymentInfo]:
    """The deployments of one project, the newest first."""
    with service.registry.reading() as session:
        project = seen(session, caller, name, action=_LISTED)
        return _page(session, [project.id], _conditions(after, guest, result, since, until), limit)


def visible(session: Session, caller: Caller, action: str) -> list[int] | None:
    """The projects whose deployments somebody may see; None: all of them.

    :raises Forbidden: their token is not good for that action
    """
    permissions.scoped(caller.person, action)
    if caller.person.sees_everything:
        return None
    return list(session.scalars(select(Project.id).where(permissions.projects(caller.person))))


def _conditions(
    after: str | None,
    guest: str | None,
    result: bool | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Deployment.started.is_not(None)]
    if guest is not None:
        found.append(Deployment.guest_name == guest)
    if result is not None:
        found.append(Deployment.result.is_(result))
    if since is not None:
        found.append(Deployment.started >= _aware(since))
    if until is not None:
        found.append(Deployment.started < _aware(until))
    if after is not None:
        began, last = _cursor(after)
        # The first condition alone is what an index understands.
        found += [Deployment.started <= began, or_(Deployment.started < began, Deployment.id < last)]
    return found


def _cursor(after: str) -> tuple[datetime.datetime, int]:
    match = _CURSOR.fullmatch(after)
    try:
        began = datetime.datetime.strptime(match[1] if match else "", "%Y%m%dT%H%M%S.%f%z")
    except ValueError:
        raise UsageError(f"after is `next` of the part before, not {shown(after)}.") from None
    assert match is not None
    return began, int(match[2])


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.timezone.utc)


def _page(
    session: Session, projects: Sequence[int] | None, conditions: Sequence[ColumnElement[bool]], limit: int
) -> Page[DeploymentInfo]:
    order = (Deployment.started.desc(), Deployment.id.desc())
    wanted = select(Deployment)
    if projects is None:
        wanted = wanted.where(*conditions)
    elif len(projects) == 1 or len(projects) > _APART:
        wanted = wanted.where(Deployment.project_id.in_(projects), *conditions)
    elif projects:
        newest = [
            select(Deployment.id)
            .where(Deployment.project_id == one, *conditions)
            .order_by(*order)
            .limit(limit + 1)
            .subquery()
            for one in projects
        ]
        wanted = wanted.where(Deployment.id.in_(union_all(*(select(one.c.id) for one in newest))))
    else:
        return Page(items=[])
    rows = session.scalars(wanted.order_by(*order).limit(limit + 1).options(joinedload(Deployment.project))).all()
    items = [_info(row) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = f"{last.started.strftime(_MOMENT)}-{last.id}" if last is not None and last.started else None
    return Page(items=items, next=cursor)


def latest(session: Session, projects: Sequence[str]) -> dict[str, DeploymentInfo]:
    """Return the newest deployment of each of some projects, by their names; nothing of those that have none."""
    those = session.scalars(select(Project.id).where(Project.name.in_(projects))).all()
    if not those:
        return {}
    order = (Deployment.started.desc(), Deployment.id.desc())
    dated = Deployment.started.is_not(None)
    newest = [
        select(Deployment.id).where(Deployment.project_id == one, dated).order_by(*order).limit(1).subquery()
        for one in those
    ]
    wanted = select(Deployment).where(Deployment.id.in_(union_all(*(select(one.c.id) for one in newest))))
    return {row.project.name: _info(row) for row in session.scalars(wanted.options(joinedload(Deployment.project)))}


def _info(row: Deployment) -> DeploymentInfo:
    report = row.report
    return DeploymentInfo(
        deployment=row.deployment_id,
        project=row.project.name,
        guest=row.guest_name,
        kind=str(report.get("kind") or "deploy"),
        result=row.result,
        comment=str(report.get("comment") or ""),
        who=row.who,
        when=row.started,
        seconds=row.seconds,
        **{key: _text(report.get(key)) for key in ("revision", "release", "mode")},
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@router.get("/projects/{name}/deployments/{deployment}")
def get_deployment(name: Name, deployment: Id, caller: Asking, service: Serving, guest: At = None) -> DeploymentDetail:
    """One deployment, with its stages, as the registry has it."""
    with service.registry.reading() as session:
        row = _row(session, caller, name, deployment, guest, _LISTED)
        report = row.report
        stages = report.get("stages")
        return DeploymentDetail(
            **_info(row).model_dump(),
            previous=_text(report.get("previous")),
            strategy=str(report.get("strategy") or ""),
            summary=str(report.get("summary") or ""),
            notes=[str(note) for note in report.get("notes") or ()],
            stages=[_stage(stage, stages[stage]) for stage in sorted(stages, key=place)]
            if isinstance(stages, dict)
            else [],
        )


def _stage(stage: str, told: Any) -> StageInfo:
    """A stage as a guest told of it; a guest may tell anything."""
    facts = told if isinstance(told, dict) else {}
    seconds, changed = facts.get("seconds"), facts.get("changed")
    return StageInfo(
        stage=stage,
        result=facts.get("result") if isinstance(facts.get("result"), bool) else None,
        seconds=float(seconds) if isinstance(seconds, (int, float)) else 0.0,
        comment=str(facts.get("comment") or ""),
        changed=changed if isinstance(changed, int) else 0,
    )


def _row(session: Session, caller: Caller, name: str, deployment: str, guest: str | None, action: str) -> Deployment:
    project = seen(session, caller, name, action=action)
    wanted = select(Deployment).where(Deployment.project_id == project.id, Deployment.deployment_id == deployment)
    if guest is not None:
        wanted = wanted.where(Deployment.guest_name == guest)
    found = session.scalar(wanted.options(joinedload(Deployment.project)).limit(1))
    if found is None:
        raise NotThere(f"{name} has no deployment {shown(deployment)}.")
    return found


@router.get("/projects/{name}/deployments/{deployment}/report")
def get_deployment_report(
    name: Name, deployment: Id, caller: Asking, service: Serving, guest: At = None
) -> DeploymentReport:
    """Everything that a deployment brought, as the guest keeps it."""
    at = _at(service, caller, name, deployment, guest, "project.report")
    asked = {"name": name, "guest": at, "deployment": deployment}
    return DeploymentReport(**service.ask(caller, "project.report", asked))


@router.get("/projects/{name}/deployments/{deployment}/log")
def get_deployment_log(
    name: Name,
    deployment: Id,
    caller: Asking,
    service: Serving,
    guest: At = None,
    lines: Annotated[int, Query(ge=1, le=2000, description="The last so many")] = 2000,
) -> Lines:
    """The log of a deployment, as the guest keeps it; secrets taken out."""
    at = _at(service, caller, name, deployment, guest, "project.logs")
    asked = {"name": name, "guest": at, "deployment": deployment, "lines": lines}
    return Lines(**service.ask(caller, "project.logs", asked))


def _at(service: Service, caller: Caller, name: str, deployment: str, guest: str | None, action: str) -> str:
    """The guest on which a deployment was."""
    with service.registry.reading() as session:
        return _row(session, caller, name, deployment, guest, action).guest_name
