"""Projects: whose, where, and what is done to them."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from corpus.controller import applications, permissions
from corpus.controller import projects as rooms
from corpus.controller.registry.models import Guest, Placement, Project, Role
from corpus.errors import NotThere
from corpus.identifiers import shown
from corpus.web import login
from corpus.web.changes import CHANGES, Change, Changing
from corpus.web.login import Asking, Caller
from corpus.web.schemas import After, Given, Limit, Page
from corpus.web.service import Service, Serving
from corpus.web.tailing import tail

router = APIRouter(tags=["projects"])

#: Seconds that a guest has for a plan.
_PLANNING = 115.0

Name = Annotated[str, Path(max_length=31, pattern=r"^[a-z][a-z0-9_-]*$", description="The project's name")]
At = Annotated[
    str | None,
    Query(alias="guest", max_length=63, description="A guest's name; not given: the only one, or all of them"),
]


class ProjectInfo(BaseModel):
    """A project."""

    name: str = Field(examples=["shop"])
    uuid: str
    created: datetime.datetime
    guests: list[str] = Field(description="On which it is placed", examples=[["web1"]])


class Remote(BaseModel):
    """Where a project is pushed to on a guest."""

    guest: str = Field(examples=["web1"])
    project: str = Field(
        description="The application's repository",
        examples=["ssh://shop@web1.example.org:40001/srv/projects/shop/git/project.git"],
    )
    pillar: str = Field(description="The repository of its settings and secrets")


class PlacementInfo(Remote):
    """A project on a guest."""

    node: str
    state: str = Field(description="Of the guest", examples=["running"])
    names: list[str] = Field(description="That lead to the guest", examples=[["shop.example.org"]])
    since: datetime.datetime


class ProjectDetail(ProjectInfo):
    """A project, with its guests and people."""

    settings: dict[str, Any] = Field(description="That every guest gets it with")
    roles: dict[str, list[str]] = Field(description="Login names by role", examples=[{"owner": ["ada"]}])
    placements: list[PlacementInfo]


class NewProject(Given):
    """A project that shall be made."""

    name: str = Field(max_length=31, pattern=r"^[a-z][a-z0-9_-]*$", examples=["shop"])
    owners: list[str] | None = Field(default=None, max_length=50, description="Login names; none: who asks")
    settings: dict[str, Any] | None = Field(default=None, description="Configuration keys; no secrets")


class NewPlacement(Given):
    """A project that shall be ready to be pushed to on a guest."""

    guest: str = Field(max_length=63, examples=["web1"])
    domain: str | None = Field(default=None, max_length=253, description="Under which it is served")
    settings: dict[str, Any] | None = Field(default=None, description="Configuration keys for this guest; no secrets")


class OnGuests(Given):
    """On which guests something is done."""

    guest: str | None = Field(default=None, max_length=63, description="None: on all, one after the other")


class Push(OnGuests):
    """What shall be deployed."""

    revision: str | None = Field(
        default=None,
        max_length=200,
        pattern=r"^[^-\s][^\s]*$",
        description="Branch, tag or commit of what was pushed; none: what its branch names",
    )


class Rollback(OnGuests):
    """Where to go back to."""

    release: str | None = Field(default=None, max_length=100, description="None: the one that ran before")


class Restart(OnGuests):
    """Which processes shall be replaced."""

    type: str | None = Field(default=None, max_length=40, description="None: all", examples=["web"])


class Scale(OnGuests):
    """How many processes shall run on each guest."""

    counts: dict[str, Annotated[int, Field(ge=0, le=applications.MOST)]] = Field(
        min_length=1, max_length=50, description="By type; the others stay", examples=[{"web": 3, "worker": 1}]
    )


class Maintenance(OnGuests):
    """Why a project is closed."""

    reason: str = Field(default="", max_length=300, examples=["moving the database"])


class Variables(OnGuests):
    """Environment variables."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)
    variables: dict[str, SecretStr] = Field(min_length=1, max_length=500, examples=[{"LOG_LEVEL": "debug"}])


class NewRole(Given):
    """A role for a person."""

    owner: str = Field(max_length=100, description="Login name", examples=["bob"])
    role: Literal["owner", "deployer", "viewer"] = "deployer"
    email: str | None = Field(default=None, max_length=254, description="Of a person who is not known yet")


class Variable(BaseModel):
    """An environment variable, without its value."""

    name: str = Field(examples=["SMTP_PASSWORD"])
    empty: bool


class Environment(BaseModel):
    """The environment of a project's processes on a guest."""

    guest: str
    variables: list[Variable]


class ProjectStatus(BaseModel):
    """How a project is on a guest."""

    guest: str
    status: dict[str, Any] = Field(description="What runs, since when, its address, what holds or locks it")
    processes: list[dict[str, Any]]


class Releases(BaseModel):
    """The releases that a guest keeps, the newest first."""

    guest: str
    releases: list[dict[str, Any]]


class Planning(BaseModel):
    """What a deployment would change."""

    guest: str
    plan: dict[str, Any] = Field(description="Its report: `result` is whether it would work, `stages` what they change")


class Lines(BaseModel):
    """What a project's processes printed last."""

    guest: str
    lines: list[str]


# --- looking ----------------------------------------------------------------------------------------------------------


@router.get("/projects")
def list_projects(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    guest: Annotated[str | None, Query(max_length=63, description="Only those on this guest")] = None,
) -> Page[ProjectInfo]:
    """The projects that one may see, by name."""
    service.reads(caller, "project")
    with service.registry.reading() as session:
        wanted = select(Project).where(permissions.projects(caller.person))
        if after is not None:
            wanted = wanted.where(Project.name > after)
        if guest is not None:
            on = select(Placement.project_id).join(Guest, Guest.id == Placement.guest_id).where(Guest.name == guest)
            wanted = wanted.where(Project.id.in_(on))
        placed = selectinload(Project.placements).joinedload(Placement.guest)
        wanted = permissions.first(caller.person, wanted, limit + 1, Project.name)
        rows = session.scalars(wanted.options(placed)).all()
        items = [_info(row) for row in rows[:limit]]
    return Page(items=items, next=items[-1].name if len(rows) > limit else None)


def first_names(session: Session, caller: Caller, limit: int) -> list[str]:
    """Return the first names of projects that somebody may see."""
    wanted = select(Project).where(permissions.projects(caller.person))
    return list(
        session.scalars(permissions.first(caller.person, wanted, limit, Project.name).with_only_columns(Project.name))
    )


def _info(row: Project) -> ProjectInfo:
    guests = sorted(one.guest.name for one in row.placements)
    return ProjectInfo(name=row.name, uuid=row.uuid, created=row.created, guests=guests)


@router.get("/projects/{name}")
def get_project(name: Name, caller: Asking, service: Serving) -> ProjectDetail:
    """One project, with its guests and people."""
    at = selectinload(Project.placements).joinedload(Placement.guest)
    options = (
        at.joinedload(Guest.node),
        at.selectinload(Guest.names),
        selectinload(Project.roles).joinedload(Role.owner),
    )
    with service.registry.reading() as session:
        row = seen(session, caller, name, *options)
        roles: dict[str, list[str]] = {}
        for role in row.roles:
            roles.setdefault(role.name, []).append(role.owner.name)
        return ProjectDetail(
            **_info(row).model_dump(),
            settings=dict(row.settings),
            roles={role: sorted(people) for role, people in roles.items()},
            placements=sorted((_placement(one, name) for one in row.placements), key=lambda one: one.guest),
        )


def _placement(row: Placement, name: str) -> PlacementInfo:
    at = row.guest
    names = sorted(one.fqdn for one in at.names)
    urls = rooms.pushed_to(at, name)
    return PlacementInfo(guest=at.name, node=at.node.name, state=at.state, names=names, since=row.created, **urls)


def seen(session: Session, caller: Caller, name: str, *options: Any, action: str = "project.view") -> Project:
    """Return a project that somebody may see.

    :param action: that their token must be good for
    :raises NotThere: it is not there, or not theirs to see
    :raises Forbidden: their token is not good for that
    """
    permissions.scoped(caller.person, action)
    wanted = select(Project).where(Project.name == name, permissions.projects(caller.person)).options(*options)
    found = session.scalar(wanted)
    if found is None:
        raise NotThere(f"There is no project {shown(name)}, or it is not yours to see.")
    return found


@router.get("/projects/{name}/remotes")
def list_project_remotes(name: Name, caller: Asking, service: Serving) -> list[Remote]:
    """Where the project is pushed to."""
    at = selectinload(Project.placements).joinedload(Placement.guest)
    with service.registry.reading() as session:
        row = seen(session, caller, name, at.joinedload(Guest.node), at.selectinload(Guest.names))
        found = [Remote(guest=one.guest.name, **rooms.pushed_to(one.guest, name)) for one in row.placements]
    return sorted(found, key=lambda one: one.guest)


@router.get("/projects/{name}/status")
def get_project_status(name: Name, caller: Asking, service: Serving, guest: At = None) -> ProjectStatus:
    """How the project is on a guest, as the guest itself says."""
    return ProjectStatus(**_asked(service, caller, name, "project.status", guest=guest))


@router.get("/projects/{name}/releases")
def list_project_releases(name: Name, caller: Asking, service: Serving, guest: At = None) -> Releases:
    """The releases that can be gone back to."""
    return Releases(**_asked(service, caller, name, "project.releases", guest=guest))


@router.get("/projects/{name}/plan")
def get_project_plan(
    name: Name,
    caller: Asking,
    service: Serving,
    guest: At = None,
    revision: Annotated[str | None, Query(max_length=200, pattern=r"^[^-\s][^\s]*$")] = None,
) -> Planning:
    """What a deployment of what was pushed would change, stage by stage. The guest may take its time."""
    found = _asked(service, caller, name, "project.plan", _PLANNING, guest=guest, revision=revision)
    return Planning(**found)


@router.get(
    "/projects/{name}/logs",
    response_model=Lines,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Lines, or a stream"}
    },
)
def get_project_logs(
    request: Request,
    name: Name,
    caller: Asking,
    service: Serving,
    guest: At = None,
    process: Annotated[str | None, Query(alias="type", max_length=40, description="Of processes; none: all")] = None,
    lines: Annotated[int, Query(ge=1, le=2000, description="Of each type")] = 100,
    follow: Annotated[
        bool, Query(description="Go on with what comes: events `log.line`, and `log.end` after ten minutes")
    ] = False,
) -> Lines | StreamingResponse:
    """What the project's processes printed last, secrets taken out."""

    def read(who: Caller) -> Lines:
        return Lines(**_asked(service, who, name, "project.logs", guest=guest, type=process, lines=lines))

    def again() -> Lines:  # who follows may have lost what let them in
        return read(login.caller(request, service))

    first = read(caller)
    return StreamingResponse(_events(first, again, process), media_type="text/event-stream") if follow else first


def _events(first: Lines, read: Any, process: str | None) -> AsyncIterator[bytes]:
    return tail(first.lines, lambda: list(read().lines), mixed=process is None)


@router.get("/projects/{name}/env")
def list_project_variables(name: Name, caller: Asking, service: Serving, guest: At = None) -> Environment:
    """The names of the environment variables that the project's processes have. Values never leave the guest."""
    return Environment(**_asked(service, caller, name, "project.env", guest=guest))


def _asked(
    service: Service, caller: Caller, name: str, question: str, timeout: float | None = None, **more: Any
) -> dict[str, Any]:
    service.allowed(caller, question, {"name": name})
    known(service, name)
    waited = {} if timeout is None else {"timeout": timeout}
    found: dict[str, Any] = service.ask(caller, question, {"name": name, **more}, **waited)
    return found


def known(service: Service, name: str) -> None:
    """See that there is a project.

    :raises NotThere: there is none
    """
    with service.registry.reading() as session:
        if session.scalar(select(Project.id).where(Project.name == name)) is None:
            raise NotThere(f"There is no project {shown(name)}, or it is not yours to see.")


# --- changing ---------------------------------------------------------------------------------------------------------


@router.post("/projects", **CHANGES)
def create_project(given: NewProject, change: Change) -> Response:
    """Make a project known; who asks owns it."""
    return change("project.create", given.model_dump())


@router.delete("/projects/{name}", **CHANGES)
def destroy_project(
    name: Name, change: Change, confirm: Annotated[str, Query(max_length=31, description="The name again")]
) -> Response:
    """Remove a project with its data, from all of its guests and from the registry."""
    _may(change, "project.destroy", name)
    guests = rooms.guests_of(change.service.cloud, name)
    return change("project.destroy", {"name": name, "confirm": confirm, "guests": guests})


@router.post("/projects/{name}/placements", **CHANGES)
def place_project(name: Name, given: NewPlacement, change: Change) -> Response:
    """Make a project ready to be pushed to on a guest."""
    return change("project.place", {"name": name, **given.model_dump()})


@router.delete("/projects/{name}/placements/{guest}", **CHANGES)
def unplace_project(
    name: Name,
    guest: Annotated[str, Path(max_length=63)],
    change: Change,
    confirm: Annotated[str, Query(max_length=31, description="The project's name again")],
) -> Response:
    """Remove a project with its data from a guest. A last archive stays there."""
    _may(change, "project.unplace", name)
    return change("project.unplace", {"name": name, "guest": guest, "confirm": confirm})


@router.post("/projects/{name}/push", **CHANGES)
def push_project(name: Name, given: Push, change: Change) -> Response:
    """Deploy what was pushed, on one or all guests; the first that fails ends it."""
    return _done(change, "project.push", name, given.guest, revision=given.revision)


@router.post("/projects/{name}/rollback", **CHANGES)
def roll_back_project(name: Name, given: Rollback, change: Change) -> Response:
    """Go back to a release that is kept."""
    return _done(change, "project.rollback", name, given.guest, release=given.release)


@router.post("/projects/{name}/restart", **CHANGES)
def restart_project(name: Name, given: Restart, change: Change) -> Response:
    """Replace the running processes by new ones of the same release."""
    return _done(change, "project.restart", name, given.guest, type=given.type)


@router.put("/projects/{name}/scale", **CHANGES)
def scale_project(name: Name, given: Scale, change: Change) -> Response:
    """Run so many processes, now and in later releases."""
    return _done(change, "project.scale", name, given.guest, counts=given.counts)


@router.put("/projects/{name}/maintenance", **CHANGES)
def close_project(name: Name, given: Maintenance, change: Change) -> Response:
    """Answer every request to the project with its maintenance page."""
    return _done(change, "project.maintenance", name, given.guest, on=True, reason=given.reason)


@router.delete("/projects/{name}/maintenance", **CHANGES)
def reopen_project(name: Name, change: Change, guest: At = None) -> Response:
    """Let requests through again."""
    return _done(change, "project.maintenance", name, guest, on=False)


@router.put("/projects/{name}/env", **CHANGES)
def set_project_variables(name: Name, given: Variables, change: Change) -> Response:
    """Set environment variables, by a short deployment. Nobody on the way to the guests can read the values."""
    guests = _guests(change, "project.env_set", name, given.guest)
    values = {variable: value.get_secret_value() for variable, value in given.variables.items()}
    words = applications.words(values)
    sealed = change.service.sealed(words, applications.purpose(name))
    told = {"name": name, "guests": guests, "variables": sorted(values), "sealed": sealed}
    return change("project.env_set", told, words)


@router.delete("/projects/{name}/env/{variable}", **CHANGES)
def unset_project_variable(
    name: Name,
    variable: Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")],
    change: Change,
    guest: At = None,
) -> Response:
    """Take an environment variable back that was set so."""
    return _done(change, "project.env_unset", name, guest, variables=[variable])


@router.post("/projects/{name}/roles", **CHANGES)
def grant_project_role(name: Name, given: NewRole, change: Change) -> Response:
    """Give a person a role in the project."""
    return change("project.grant", {"name": name, **given.model_dump()})


@router.delete("/projects/{name}/roles/{owner}", **CHANGES)
def revoke_project_role(
    name: Name,
    owner: Annotated[str, Path(max_length=100, description="Login name")],
    change: Change,
    role: Annotated[
        Literal["sysadmin", "owner", "deployer", "viewer"] | None, Query(description="None: all of them")
    ] = None,
) -> Response:
    """Take a person's role in the project away."""
    return change("project.revoke", {"name": name, "owner": owner, "role": role})


def _may(change: Changing, kind: str, name: str) -> None:
    """See that who asks may do it, before anything of the project is looked up for them; the audit tells of it.

    :raises NotThere: there is no such project for them
    :raises Forbidden: they may not
    """
    change.service.audited(change.request, kind, f"project:{name}")
    change.service.allowed(change.caller, kind, {"name": name})
    known(change.service, name)


def _guests(change: Changing, kind: str, name: str, guest: str | None) -> list[str]:
    _may(change, kind, name)
    return rooms.placed_on(change.service.cloud, name, guest)


def _done(change: Changing, kind: str, name: str, guest: str | None, **arguments: Any) -> Response:
    """Have something done on one or all guests of a project."""
    return change(kind, {"name": name, "guests": _guests(change, kind, name, guest), **arguments})
