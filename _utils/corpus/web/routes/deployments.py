"""Deployments: what was deployed where, how it went, and what it brought."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, bindparam, or_, select, union_all
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
        return _page(session, projects, _given(after, guest, result, since, until), limit)


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
        return _page(session, [project.id], _given(after, guest, result, since, until), limit)


def visible(session: Session, caller: Caller, action: str) -> list[int] | None:
    """The projects whose deployments somebody may see; None: all of them.

    :raises Forbidden: their token is not good for that action
    """
    permissions.scoped(caller.person, action)
    if caller.person.sees_everything:
        return None
    return list(session.scalars(select(Project.id).where(permissions.projects(caller.person))))


#: By what deployments are looked for, and how; what it is stands in the query's parameters.
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "guest": Deployment.guest_name == bindparam("guest"),
    "result": Deployment.result.is_(True),
    "refused": Deployment.result.is_(False),
    "since": Deployment.started >= bindparam("since"),
    "until": Deployment.started < bindparam("until"),
    # Of a place in the list; the first condition alone is what an index understands.
    "began": Deployment.started <= bindparam("began"),
    "last": or_(Deployment.started < bindparam("began"), Deployment.id < bindparam("last")),
}


def _given(
    after: str | None,
    guest: str | None,
    result: bool | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
) -> dict[str, Any]:
    """What is looked for, by the names of the conditions."""
    found: dict[str, Any] = {"guest": guest, "since": since and _aware(since), "until": until and _aware(until)}
    if result is not None:
        found["result" if result else "refused"] = result
    if after is not None:
        found["began"], found["last"] = _cursor(after)
    return {key: value for key, value in found.items() if value is not None}


@lru_cache(256)
def _newest(projects: int | None, given: frozenset[str], each: bool = True) -> Select[Any]:
    """Return a query for the newest deployments, with the parameters ``limit`` and those of its conditions.

    It is put together once: what Python does for it takes longer than what a database does.

    :param projects: of how many, whose ids are the parameters ``p0``, ``p1`` …; None: of all
    :param given: names of :data:`_CONDITIONS`
    :param each: look for those of each project, which has its newest in an index; else for all projects' together,
        whose ids are the parameter ``projects``
    """
    order = (Deployment.started.desc(), Deployment.id.desc())
    conditions = [Deployment.started.is_not(None), *(_CONDITIONS[name] for name in sorted(given))]
    wanted = select(Deployment)
    if projects is None:
        wanted = wanted.where(*conditions)
    elif not each:
        wanted = wanted.where(Deployment.project_id.in_(bindparam("projects", expanding=True)), *conditions)
    else:
        parts = [
            select(Deployment.id)
            .where(Deployment.project_id == bindparam(f"p{number}"), *conditions)
            .order_by(*order)
            .limit(bindparam("each"))
            .subquery()
            for number in range(projects)
        ]
        wanted = wanted.where(Deployment.id.in_(union_all(*(select(part.c.id) for part in parts))))
    return wanted.order_by(*order).limit(bindparam("limit")).options(joinedload(Deployment.project))


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


def _page(session: Session, projects: Sequence[int] | None, given: dict[str, Any], limit: int) -> Page[DeploymentInfo]:
    rows = _found(session, projects, given, limit + 1)
    items = [_info(row) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = f"{last.started.strftime(_MOMENT)}-{last.id}" if last is not None and last.started else None
    return Page(items=items, next=cursor)


def _found(session: Session, projects: Sequence[int] | None, given: dict[str, Any], limit: int) -> Sequence[Deployment]:
    """The newest deployments of projects; None: of all."""
    names = frozenset(given)
    if projects is None:
        return session.scalars(_newest(None, names), {**given, "limit": limit}).all()
    if len(projects) == 1 or len(projects) > _APART:
        return session.scalars(_newest(0, names, False), {**given, "limit": limit, "projects": projects}).all()
    return _of_each(session, projects, given, limit, limit)


def _of_each(
    session: Session, projects: Sequence[int], given: dict[str, Any], limit: int, each: int
) -> Sequence[Deployment]:
    """The newest of the newest deployments of each project, of which ``each`` are looked at."""
    if not projects:
        return []
    those = {f"p{number}": project for number, project in enumerate(projects)}
    wanted = _newest(len(those), frozenset(given))
    return session.scalars(wanted, {**given, **those, "limit": limit, "each": each}).all()


def latest(session: Session, projects: Sequence[str]) -> dict[str, DeploymentInfo]:
    """Return the newest deployment of each of some projects, by their names; nothing of those that have none."""
    those = session.scalars(select(Project.id).where(Project.name.in_(projects))).all()
    return {row.project.name: _info(row) for row in _of_each(session, those, {}, len(those), 1)}


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
