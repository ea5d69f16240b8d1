"""What people do by hand: each with its plan before, told by the master, and its operation behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.controller import permissions
from corpus.controller.permissions import Person
from corpus.errors import CorpusError, NotThere
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.service import Service, Serving

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Field:
    """What a form asks for.

    :param name: of the argument
    :param label: in words
    :param hint: an example, or what leaving it empty means
    :param needed: it may not be left empty
    :param choices: one of these
    :param many: words with spaces between them
    """

    name: str
    label: str
    hint: str = ""
    needed: bool = False
    choices: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True)
class Action:
    """Something that one can do.

    :param title: what it does, as its page is called
    :param button: one or two words
    :param fields: what it asks for beside its subject
    :param danger: something is lost by it
    """

    title: str
    button: str
    fields: tuple[Field, ...] = ()
    danger: bool = False


_SIZE = Field("size", "Size", "10G, or +5G", needed=True)
_LABEL = Field("label", "Name of the snapshot", "before-upgrade", needed=True)
_NAME = Field("fqdn", "Name", "www.example.org", needed=True)

#: By the operation's kind. What a person types beside it stands in the fields; the rest of the arguments is in the address.
ACTIONS: dict[str, Action] = {
    "guest.create": Action(
        "Make a guest",
        "New guest",
        (
            Field("platform", "Platform", "its uuid", needed=True),
            Field("name", "Name", "shop", needed=True),
            Field("size", "Size", "5G"),
            Field("project", "Project to push there", "none"),
        ),
    ),
    "guest.start": Action("Start the guest", "Start"),
    "guest.stop": Action("Stop the guest", "Stop", danger=True),
    "guest.restart": Action("Restart the guest", "Restart"),
    "guest.enlarge": Action("Let the guest store more", "Enlarge", (_SIZE,)),
    "guest.trim": Action("Let the guest store less", "Trim", (Field("size", "Size", "3G, or -2G", needed=True),)),
    "guest.snapshot": Action("Keep the guest as it is now", "Snapshot", (_LABEL,)),
    "guest.restore": Action("Make the guest what it was", "Restore", (_LABEL,), danger=True),
    "guest.delete_snapshot": Action("Forget a snapshot", "Forget", (_LABEL,), danger=True),
    "guest.move": Action("Take the guest to another node", "Move", (Field("node", "Node", "node2", needed=True),)),
    "guest.link_dns": Action("Give the guest one more name", "Add name", (_NAME,)),
    "guest.unlink_dns": Action("Take a name from the guest", "Remove name", (_NAME,), danger=True),
    "guest.delete": Action("Delete the guest, with its data", "Delete", danger=True),
    "compute_node.init": Action(
        "Turn a machine into a compute node",
        "New node",
        (
            Field("host", "Host", "192.0.2.10", needed=True),
            Field("type", "Platform", choices=("dev", "staging", "prod"), needed=True),
        ),
    ),
    "compute_node.drain": Action(
        "Take all guests off the node", "Drain", (Field("to", "To", "any node"),), danger=True
    ),
    "compute_node.undrain": Action("Let the node take guests again", "Undrain"),
    "compute_node.unlink": Action("Forget the node", "Unlink", danger=True),
    "project.create": Action("Make a project", "New project", (Field("name", "Name", "shop", needed=True),)),
    "project.place": Action("Put the project on a guest", "Place", (Field("guest", "Guest", "shop", needed=True),)),
    "project.push": Action("Deploy what was pushed", "Deploy"),
    "project.destroy": Action("Destroy the project, with its data", "Destroy", danger=True),
}


def buttons(service: Service, person: Person, kinds: list[str], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The buttons that a person has for a thing: those of what they may do.

    :param kinds: of operations, in their order
    :param arguments: the thing: ``{"name": "shop"}``
    """
    found = []
    with service.registry.reading() as session:
        for kind in kinds:
            try:
                permissions.check(session, person, kind, arguments)
            except CorpusError:
                continue
            found.append({"kind": kind, "action": ACTIONS[kind], "arguments": dict(arguments)})
    return found


@router.get("/do/{kind}")
def prepare(request: Request, kind: str, caller: Looking, service: Serving) -> Response:
    """Ask for what an action needs, and say what it would do."""
    return _shown(request, service, caller, kind, frame.fields(request.query_params))


def _shown(request: Request, service: Service, caller: Any, kind: str, given: Mapping[str, str]) -> Response:
    action = _action(kind)
    missing = [field.name for field in action.fields if field.needed and field.name not in given]
    plan: Mapping[str, Any] | None = None
    refusal = ""
    if not missing:
        try:
            plan = service.plan(caller, kind, _arguments(action, given))
        except NotThere:
            raise
        except CorpusError as err:
            refusal = str(err)
    return frame.render(
        request, "action.html", kind=kind, action=action, given=given, plan=plan, refusal=refusal, missing=missing
    )


@router.post("/do/{kind}")
async def do(request: Request, kind: str) -> Response:
    """Do it, after its plan was looked at."""
    from starlette.concurrency import run_in_threadpool

    form = frame.fields({key: value for key, value in (await request.form()).items() if isinstance(value, str)})
    return await run_in_threadpool(_done, request, kind, form)


def _done(request: Request, kind: str, form: dict[str, str]) -> Response:
    service: Service = request.app.state.service
    caller = frame.looking(request, service)
    action = _action(kind)
    uuid = service.begin(request, caller, kind, _arguments(action, form))
    return frame.away(f"/operations/{uuid}")


def _arguments(action: Action, given: Mapping[str, str]) -> dict[str, Any]:
    many = {field.name for field in action.fields if field.many}
    found: dict[str, Any] = {key: value.split() if key in many else value for key, value in given.items()}
    if action.danger and "name" in found:
        found.setdefault("confirm", found["name"])
    return found


def _action(kind: str) -> Action:
    if kind not in ACTIONS:
        raise NotThere(f"There is no action {kind!r}.")
    return ACTIONS[kind]
