"""Projects: where they run, how their deployments went, and what their guests say of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from corpus.controller import following
from corpus.errors import NotThere, UsageError
from corpus.web.changes import Changing
from corpus.web.pages import actions, charts, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import deployments, operations
from corpus.web.routes import projects as resource
from corpus.web.routes.deployments import Id
from corpus.web.routes.projects import At, Name
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)

_KINDS = [
    "project.push",
    "project.restart",
    "project.scale",
    "project.place",
    "project.unplace",
    "project.grant",
    "project.revoke",
    "project.destroy",
]
#: Lines of a log on a page.
_LINES = 200


@router.get("/projects")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """Those that one may see."""
    page = resource.list_projects(caller, service, limit=50, after=after)
    with service.registry.reading() as session:
        latest = deployments.latest(session, [one.name for one in page.items])
    buttons = actions.buttons(service, caller.person, ["project.create"], {})
    return frame.render(request, "projects.html", page=page, latest=latest, buttons=buttons)


@router.get("/projects/{name}")
def one(request: Request, name: Name, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """One: its guests, what runs now, its deployments."""
    project = resource.get_project(name, caller, service)
    page = deployments.list_project_deployments(name, caller, service, limit=12, after=after)
    recorded = {one.deployment for one in page.items}
    return frame.render(
        request,
        "project.html",
        project=project,
        page=page,
        times=charts.times([one for one in page.items if one.seconds is not None]),
        under_way=following.under_way(service.registry, name),
        soon=after is None and bool(following.being_recorded(service.registry, name) - recorded),
        buttons=actions.buttons(service, caller.person, _KINDS, {"name": name}),
        recent=operations.list_operations(caller, service, limit=8, subject=f"project:{name}").items,
    )


@router.get("/projects/{name}/deployments/{deployment}")
def deployment(
    request: Request, name: Name, deployment: Id, caller: Looking, service: Serving, guest: At = None
) -> Response:
    """One deployment: its stages as they are run, what came of it, and its log."""
    found, problem = frame.part(lambda: deployments.get_deployment(name, deployment, caller, service, guest))
    if found is not None:
        return frame.render(request, "deployment.html", deployment=found, stages=charts.stages(found.stages))
    resource.get_project(name, caller, service)
    told = next((one for one in following.told(service.registry, name) if one.deployment == deployment), None)
    if told is None:
        raise NotThere(problem)
    return frame.render(request, "deployment_under_way.html", name=name, deployment=told)


@router.get("/projects/{name}/deployments/{deployment}/log")
def log(request: Request, name: Name, deployment: Id, caller: Looking, service: Serving, guest: At = None) -> Response:
    """The log of a deployment, which its guest has; also while it runs."""

    def ask() -> list[str]:
        if any(one.deployment == deployment for one in following.under_way(service.registry, name)):
            asked = {"name": name, "guest": guest, "deployment": deployment, "lines": _LINES}
            return list(service.ask(caller, "project.logs", asked)["lines"])
        return deployments.get_deployment_log(name, deployment, caller, service, guest, 2000).lines

    lines, problem = frame.part(ask)
    title, back = f"Log of {deployment}", f"/projects/{name}/deployments/{deployment}"
    return frame.render(request, "log.html", title=title, back=back, lines=lines, problem=problem)


@router.get("/projects/{name}/on/{guest}")
def on_guest(request: Request, name: Name, guest: str, caller: Looking, service: Serving) -> Response:
    """What a guest says of the project: it is asked when somebody looks."""
    project = resource.get_project(name, caller, service)
    if guest not in project.guests:
        raise UsageError(f"{name} is not on {guest}.")
    at = {"name": name, "guest": guest}
    with ThreadPoolExecutor(2) as pool:
        looked = pool.submit(frame.part, lambda: service.ask(caller, "project.look", {**at, "lines": _LINES}))
        env = pool.submit(frame.part, lambda: resource.list_project_variables(name, caller, service, guest).variables)
        (said, problem), (variables, _) = looked.result(), env.result()
    door = ["project.reopen" if said["status"].get("maintenance") else "project.close"] if said else []
    return frame.render(
        request,
        "project_on_guest.html",
        project=project,
        guest=guest,
        said=said,
        problem=problem,
        variables=variables,
        back=actions.buttons(service, caller.person, ["project.rollback"], at),
        unset=actions.buttons(service, caller.person, ["project.env_unset"], at),
        door=actions.buttons(service, caller.person, door, at),
        buttons=actions.buttons(service, caller.person, ["project.push", "project.restart", "project.scale"], at),
    )


@router.post("/projects/{name}/env")
def set_variable(
    request: Request,
    name: Name,
    caller: Looking,
    service: Serving,
    variable: Annotated[str, Form(max_length=200)],
    value: Annotated[str, Form(max_length=100_000)],
    guest: Annotated[str | None, Form(max_length=63)] = None,
) -> Response:
    """Set an environment variable. Its value goes from here to the guest, and into no page, address or log."""
    given = resource.Variables(guest=guest or None, variables={variable.strip(): value})  # type: ignore[dict-item]
    answer = resource.set_project_variables(name, given, Changing(request, caller, service, False, None))
    return frame.away(answer.headers["Location"].removeprefix("/api/v1"))
