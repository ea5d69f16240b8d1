"""What guests alone know of a project on them, for the web: what runs, its logs, reports, releases.

Each is asked of one guest: the one that is named, or the only one that the project is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus import identifiers
from corpus.controller import applications, projects, wiring
from corpus.controller.questions import question
from corpus.errors import MinionSilent, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

#: Seconds that a guest has for an answer, and for a plan.
ANSWERING, PLANNING = 25, 110
#: Lines of a log at once, and characters of them.
LINES, CHARACTERS = 2000, 400_000


def _asked(cloud: Cloud, arguments: Mapping[str, Any], function: str, *given: Any, **more: Any) -> tuple[str, Any]:
    """Return a guest, and what a function of its ``mc_project`` answers."""
    name = identifiers.project_name(arguments.get("name"))
    at = _the_guest(cloud, name, arguments.get("guest"))
    minion = applications.minion_of(cloud, name, at)
    with cloud.registry.reading() as session:
        state = wiring.guest(session, at).state
    if state not in ("running", "moving"):
        raise MinionSilent(f"The guest {at} is {state}: only while it runs it can tell that.")
    timeout = more.pop("timeout", ANSWERING)
    return at, cloud.minions.call(minion, f"mc_project.{function}", *given or (name,), timeout=timeout, **more)


def _the_guest(cloud: Cloud, name: str, at: object) -> str:
    guests = projects.placed_on(cloud, name, None if at is None else str(at))
    if len(guests) > 1:
        raise UsageError(f"{name} is on several guests: name one of {', '.join(guests)}.")
    return guests[0]


@question("project.status")
def status(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """How a project is, and its processes: name, guest."""
    at, found = _asked(cloud, arguments, "status")
    return {"guest": at, "status": found, "processes": _asked(cloud, {**arguments, "guest": at}, "ps")[1]}


@question("project.look")
def look(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All that a guest says of a project but its environment, at once: name, guest, lines (of the logs)."""
    found = status(cloud, arguments)
    at = {**arguments, "guest": found["guest"]}
    return {**found, **releases(cloud, at), **logs(cloud, at)}


@question("project.releases")
def releases(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The releases that are kept: name, guest."""
    at, found = _asked(cloud, arguments, "list_releases")
    return {"guest": at, "releases": found}


@question("project.logs")
def logs(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What processes printed last, or the log of a deployment: name, guest, type, lines, deployment."""
    lines = arguments.get("lines", 100)
    if isinstance(lines, bool) or not isinstance(lines, int) or not 1 <= lines <= LINES:
        raise UsageError(f"lines is a number from 1 to {LINES}, not {shown(lines)}.")
    if arguments.get("deployment"):
        deployment = identifiers.release_id(arguments["deployment"])
        at, text = _asked(cloud, _of_deployment(cloud, arguments), "log", deployment=deployment)
    else:
        at, text = _asked(cloud, arguments, "logs", type=arguments.get("type"), lines=lines)
    found = str(text)[-CHARACTERS:].splitlines()
    return {"guest": at, "lines": found[-lines:] if arguments.get("deployment") else found}


@question("project.report")
def report(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a deployment's report tells: name, guest, deployment."""
    deployment = identifiers.release_id(arguments.get("deployment"))
    at, found = _asked(cloud, _of_deployment(cloud, arguments), "report", deployment=deployment, format="json")
    return {"guest": at, "report": found}


def _of_deployment(cloud: Cloud, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments, with the guest on which a deployment was when none is named."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Deployment, Guest, Project

    if arguments.get("guest"):
        return arguments
    wanted = (
        select(Guest.name)
        .join(Deployment, Deployment.guest_id == Guest.id)
        .join(Project, Deployment.project_id == Project.id)
        .where(Project.name == arguments.get("name"), Deployment.deployment_id == arguments.get("deployment"))
    )
    with cloud.registry.reading() as session:
        found = session.scalar(wanted)
    return arguments if found is None else {**arguments, "guest": found}


@question("project.plan")
def plan(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a deployment would change: name, guest, revision."""
    given = {"revision": arguments["revision"]} if arguments.get("revision") else {}
    at, found = _asked(cloud, arguments, "plan", timeout=PLANNING, **given)
    return {"guest": at, "plan": found}


@question("project.env")
def env(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the environment variables that processes have, never a value: name, guest."""
    at, found = _asked(cloud, arguments, "env_get")
    return {"guest": at, "variables": [{"name": name, "empty": value == ""} for name, value in sorted(found.items())]}


@question("project.stats")
def stats(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """How the project is delivered, by the guest's own count: name, guest, days."""
    name = identifiers.project_name(arguments.get("name"))
    at, found = _asked(cloud, arguments, "stats", name, days=float(arguments.get("days", 90)))
    return {"guest": at, "figures": found["projects"].get(name)}
