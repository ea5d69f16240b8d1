"""What people do by hand: each with its plan before, told by the master, and its operation behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.controller import permissions
from corpus.controller import projects as rooms
from corpus.controller.permissions import Person
from corpus.controller.registry.models import ROLES
from corpus.errors import CorpusError, NotThere, UsageError
from corpus.identifiers import shown
from corpus.web.login import Caller
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.service import Service, Serving, subject

router = APIRouter(include_in_schema=False)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{shown(text)} is no number.")
    return int(text)


def _counts(text: str) -> dict[str, int]:
    """``web=3 worker=1``"""
    found = {}
    for word in text.split():
        kind, equals, number = word.partition("=")
        if not equals:
            raise UsageError(f"{shown(word)} says not how many: write web=3 worker=1.")
        found[kind] = _number(number)
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True)
class Field:
    """What a form asks for.

    :param name: of the argument
    :param label: in words
    :param hint: an example, or what leaving it empty means
    :param needed: it may not be left empty
    :param choices: one of these
    :param means: makes the argument of what was typed
    :param long: several lines
    """

    name: str
    label: str
    hint: str = ""
    needed: bool = False
    choices: tuple[str, ...] = ()
    means: Callable[[str], Any] = str
    long: bool = False


def _same(service: Service, given: dict[str, Any]) -> dict[str, Any]:
    return given


def _confirmed(service: Service, given: dict[str, Any]) -> dict[str, Any]:
    """The page before said what is lost: whoever goes on means it."""
    return {**given, "confirm": given.get("name")}


def _on_guests(service: Service, given: dict[str, Any]) -> dict[str, Any]:
    """On the guest that is named, or on all."""
    name = str(given.get("name"))
    return {**{key: value for key, value in given.items() if key != "guest"}, "guests": _placed(service, name, given)}


def _placed(service: Service, name: str, given: Mapping[str, Any]) -> list[str]:
    return rooms.placed_on(service.cloud, name, given.get("guest"))


def _everywhere(service: Service, given: dict[str, Any]) -> dict[str, Any]:
    name = str(given.get("name"))
    return {"name": name, "confirm": name, "guests": rooms.guests_of(service.cloud, name)}


#: Arguments that say what an action is about: they stand in its address.
_ABOUT = ("name", "guest", "node", "platform", "release", "zone")


@dataclass(frozen=True)
class Action:
    """Something that one can do.

    :param title: what it does, as its page is called
    :param button: one or two words
    :param fields: what it asks for beside its subject
    :param danger: something is lost by it
    :param kind: of operation, when it is not the action's own name
    :param fixed: arguments that are always the same
    :param prepare: makes the operation's arguments of what was given
    """

    title: str
    button: str
    fields: tuple[Field, ...] = ()
    danger: bool = False
    kind: str = ""
    fixed: Sequence[tuple[str, Any]] = ()
    prepare: Callable[[Service, dict[str, Any]], dict[str, Any]] = _same


_SIZE = Field("size", "Size", "10G, or +5G", needed=True)
_LABEL = Field("label", "Name of the snapshot", "before-upgrade", needed=True)
_NAME = Field("fqdn", "Name", "www.example.org", needed=True)
_PERSON = Field("owner", "Login name", "ada", needed=True)
_ROLE = Field("role", "Role", needed=True, choices=("viewer", "deployer", "owner"))
_WHICH_ROLE = Field("role", "Role", choices=("", *ROLES))
_ZONE = Field("zone", "Zone", "corpus.example.org", needed=True)
_RECORD = (
    Field("name", "Name", "www.corpus.example.org", needed=True),
    Field("type", "Type", needed=True, choices=("A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT")),
)
_VALUES = Field("values", "Values, one a line", "192.0.2.7", means=_lines, long=True)
_MODE = Field("mode", "Mode", choices=("", "editable", "cooking", "final"))
_TYPES = ("prod", "staging", "dev")
_PUBLIC = "ssh-ed25519 AAAA… ada@laptop"
_KEY = Field("key", "Fingerprint, or name", "SHA256:…", needed=True)
_MACHINE = (
    Field("host", "Host", "192.0.2.10", needed=True),
    Field("platform_type", "What it is for", needed=True, choices=_TYPES),
    Field("name", "Name", "the host's"),
    Field("port", "Port of ssh", "22", means=_number),
    Field("user", "User", "root"),
    Field("owner", "Whose platform", "nobody's"),
    Field("slots", "Most guests", "as many as there is room for", means=_number),
)

#: What one does by hand, mostly by the operation's kind. What a person types stands in the fields; the rest of the
#: arguments is in the address.
ACTIONS: dict[str, Action] = {
    "guest.create": Action(
        "Make a guest",
        "New guest",
        (
            Field("platform", "Platform, or node", "node1", needed=True),
            Field("name", "Name", "shop", needed=True),
            Field("size", "Size", "5G"),
            Field("memory", "Memory", "all of its node's"),
            Field("owner", "Owner", "the platform's"),
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
    "guest.delete_snapshot": Action("Forget a snapshot", "Forget a snapshot", (_LABEL,), danger=True),
    "guest.move": Action("Take the guest to another node", "Move", (Field("node", "Node", "node2", needed=True),)),
    "guest.link_dns": Action("Give the guest one more name", "Add name", (_NAME,)),
    "guest.unlink_dns": Action("Take a name from the guest", "Remove name", (_NAME,), danger=True),
    "guest.delete": Action("Delete the guest, with its data", "Delete", danger=True),
    "compute_node.init": Action("Turn a machine into a compute node", "New node", _MACHINE),
    "compute_node.link": Action("Attach a machine that was a compute node before", "Link a node", _MACHINE),
    "compute_node.drain": Action(
        "Put no new guests on the node", "Drain", (Field("to", "Move its guests to", "they stay"),), danger=True
    ),
    "compute_node.undrain": Action("Let the node take guests again", "Undrain"),
    "compute_node.image_sync": Action(
        "Bring images to the node", "Bring images", (Field("image", "Image", "the newest of each"),)
    ),
    "compute_node.link_dns": Action("Give the node one more name", "Add name", (_NAME,)),
    "compute_node.add_key": Action(
        "Let a key in as root", "Add key", (Field("key", "Public key", _PUBLIC, needed=True, long=True),)
    ),
    "compute_node.remove_key": Action("Let a key in no more", "Remove key", (_KEY,), danger=True),
    "compute_node.unlink": Action("Forget the node", "Unlink", danger=True),
    "compute_node.switchmode": Action(
        "Change how the platform's projects are deployed",
        "Switch mode",
        (Field("mode", "Mode", needed=True, choices=("editable", "cooking", "final")),),
        danger=True,
    ),
    "platform.create": Action(
        "Make an environment on the node",
        "New platform",
        (
            Field("type", "What it is for", needed=True, choices=_TYPES),
            _MODE,
            Field("owner", "Whose", "nobody's"),
        ),
    ),
    "platform.delete": Action("Remove an environment without guests", "Remove", danger=True),
    "platform.grant": Action("Give somebody a role on the platform", "Grant", (_PERSON, _ROLE)),
    "platform.revoke": Action("Take somebody's role away", "Revoke", (_PERSON, _WHICH_ROLE), danger=True),
    "image.build": Action("Build the golden image, unless it is there", "Build image", fixed=(("sync", True),)),
    "project.create": Action("Make a project", "New project", (Field("name", "Name", "shop", needed=True),)),
    "project.place": Action(
        "Let the project be pushed to a guest",
        "Place",
        (Field("guest", "Guest", "shop", needed=True), Field("domain", "Name it is served by", "the guest's")),
    ),
    "project.unplace": Action(
        "Remove the project, with its data, from a guest",
        "Take off",
        (Field("guest", "Guest", "shop", needed=True),),
        danger=True,
        prepare=_confirmed,
    ),
    "project.push": Action(
        "Deploy what was pushed",
        "Deploy",
        (Field("revision", "Branch, tag or commit", "what its branch names"),),
        prepare=_on_guests,
    ),
    "project.rollback": Action("Go back to a release that is kept", "Roll back", danger=True, prepare=_on_guests),
    "project.restart": Action(
        "Start new processes for the old ones",
        "Restart",
        (Field("type", "Type", "all"),),
        prepare=_on_guests,
    ),
    "project.scale": Action(
        "Say how many processes run",
        "Scale",
        (Field("counts", "How many of each type", "web=3 worker=1", needed=True, means=_counts),),
        prepare=_on_guests,
    ),
    "project.close": Action(
        "Answer everybody with the maintenance page",
        "Close",
        (Field("reason", "Why", "moving the database"),),
        danger=True,
        kind="project.maintenance",
        fixed=(("on", True),),
        prepare=_on_guests,
    ),
    "project.reopen": Action(
        "Let requests through again",
        "Reopen",
        kind="project.maintenance",
        fixed=(("on", False),),
        prepare=_on_guests,
    ),
    "project.env_unset": Action(
        "Take an environment variable back",
        "Unset",
        (Field("variables", "Name", "LOG_LEVEL", needed=True, means=str.split),),
        danger=True,
        prepare=_on_guests,
    ),
    "project.grant": Action("Give somebody a role in the project", "Grant", (_PERSON, _ROLE)),
    "project.revoke": Action("Take somebody's role away", "Revoke", (_PERSON, _WHICH_ROLE), danger=True),
    "project.destroy": Action("Destroy the project, with its data", "Destroy", danger=True, prepare=_everywhere),
    "owner.create": Action(
        "Make a person known before they log in",
        "New person",
        (Field("name", "Login name", "ada", needed=True), Field("email", "Mail address", "ada@example.org")),
    ),
    "owner.set_email": Action(
        "Let mails go elsewhere", "Change address", (Field("email", "Mail address", "ada@example.org"),)
    ),
    "owner.add_key": Action(
        "Let one more key in, wherever its owner is let in",
        "Add key",
        (
            Field("public", "Public key", _PUBLIC, needed=True, long=True),
            Field("label", "What it is called", "laptop"),
        ),
    ),
    "owner.remove_key": Action("Let a key in no more", "Remove key", (_KEY,), danger=True),
    "owner.grant": Action(
        "Let somebody be something everywhere",
        "Grant",
        (_PERSON, Field("role", "Role", needed=True, choices=tuple(reversed(ROLES)))),
    ),
    "owner.revoke": Action(
        "Take from somebody what they are everywhere", "Revoke", (_PERSON, _WHICH_ROLE), danger=True
    ),
    "owner.delete": Action("Forget a person", "Forget", danger=True, prepare=_confirmed),
    "dns.apply": Action("Make DNS what the registry says", "Apply"),
    "dns.create_zone": Action("Make a zone", "New zone", (_ZONE,)),
    "dns.delete_zone": Action("Delete a zone and everything in it", "Delete", danger=True),
    "dns.sign": Action("Sign the zone", "Sign", kind="dns.dnssec", fixed=(("on", True),)),
    "dns.unsign": Action(
        "Stop signing the zone", "Stop signing", danger=True, kind="dns.dnssec", fixed=(("on", False),)
    ),
    "dns.add": Action(
        "Add a record",
        "Add record",
        (
            *_RECORD,
            Field("values", "Values, one a line", "192.0.2.7", needed=True, means=_lines, long=True),
            Field("ttl", "Seconds that others may remember it", "60", means=_number),
        ),
    ),
    "dns.remove": Action("Remove a record, or some of its values", "Remove record", (*_RECORD, _VALUES), danger=True),
}


def buttons(service: Service, person: Person, kinds: list[str], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The buttons that a person has for a thing: those of what they may do.

    :param kinds: of operations, in their order
    :param arguments: the thing: ``{"name": "shop"}``
    """
    allowed = may(service, person, [ACTIONS[name].kind or name for name in kinds], arguments)
    return [
        {"kind": name, "action": ACTIONS[name], "arguments": dict(arguments)}
        for name in kinds
        if (ACTIONS[name].kind or name) in allowed
    ]


def may(service: Service, person: Person, actions: Sequence[str], arguments: Mapping[str, Any]) -> set[str]:
    """Return those of some actions that a person may do to a thing."""
    roles: dict[tuple[str, str], str | None] = {}
    found = set()
    with service.registry.reading() as session:
        for action in actions:
            with suppress(CorpusError):
                permissions.check(session, person, action, arguments, roles)
                found.add(action)
    return found


@router.get("/do/{kind}")
def prepare(request: Request, kind: str, caller: Looking, service: Serving) -> Response:
    """Ask for what an action needs, and say what it would do."""
    return _shown(request, service, caller, kind, _given(_action(kind), frame.fields(request.query_params)))


def _shown(request: Request, service: Service, caller: Caller, kind: str, given: Mapping[str, str]) -> Response:
    action = _action(kind)
    missing = [field.name for field in action.fields if field.needed and field.name not in given]
    plan: Mapping[str, Any] | None = None
    refusal = ""
    if not missing:
        try:
            plan = service.plan(caller, action.kind or kind, _arguments(service, caller, kind, given))
        except NotThere:
            raise
        except CorpusError as err:
            refusal = str(err)
    asked = {field.name for field in action.fields}
    about = next((given[key] for key in ("name", "node", "zone", "platform") if key in given and key not in asked), "")
    return frame.render(
        request, "action.html", kind=kind, action=action, given=given, plan=plan, refusal=refusal, subject=about
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
    form = _given(action, form)
    service.audited(request, action.kind or kind, subject(action.kind or kind, form))
    uuid = service.begin(request, caller, action.kind or kind, _arguments(service, caller, kind, form))
    return frame.away(f"/operations/{uuid}")


def _given(action: Action, fields: Mapping[str, str]) -> dict[str, str]:
    """What an action is told: what it is about, and what it asks for. An operation may take more, which is not for forms."""
    known = {*_ABOUT, *(field.name for field in action.fields)}
    return {key: value for key, value in fields.items() if key in known}


def _arguments(service: Service, caller: Caller, kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What an operation gets; nothing is looked up for who may not have it done."""
    action = _action(kind)
    means = {field.name: field.means for field in action.fields}
    found: dict[str, Any] = {key: means.get(key, str)(value) for key, value in given.items()}
    service.allowed(caller, action.kind or kind, found)
    return action.prepare(service, {**found, **dict(action.fixed)})


def _action(kind: str) -> Action:
    if kind not in ACTIONS:
        raise NotThere(f"There is no action {kind!r}.")
    return ACTIONS[kind]
