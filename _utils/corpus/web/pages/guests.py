"""Guests."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.web.pages import actions, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import deployments, links, operations
from corpus.web.routes import guests as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)

_KINDS = [
    "guest.start",
    "guest.stop",
    "guest.restart",
    "guest.snapshot",
    "guest.restore",
    "guest.enlarge",
    "guest.trim",
    "guest.link_dns",
    "guest.unlink_dns",
    "guest.move",
    "guest.delete",
]
#: What makes no sense in a state.
_NOT_WHILE = {"running": ("guest.start",), "stopped": ("guest.stop", "guest.restart")}


@router.get("/guests")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """Those that one may see."""
    page = resource.list_guests(caller, service, limit=50, after=after)
    new = actions.buttons(service, caller.person, ["guest.create"], {}) if caller.person.sysadmin else []
    return frame.render(request, "guests.html", page=page, buttons=new)


@router.get("/guests/{name}")
def one(request: Request, name: str, caller: Looking, service: Serving) -> Response:
    """One, with what can be done to it."""
    guest = resource.get_guest(name, caller, service)
    kinds = [kind for kind in _KINDS if kind not in _NOT_WHILE.get(guest.state, ())]
    buttons = actions.buttons(service, caller.person, kinds, {"name": guest.name})
    recent = operations.list_operations(caller, service, limit=10, subject=f"guest:{guest.name}")
    secrets = bool(actions.may(service, caller.person, ["guest.credentials"], {"name": guest.name}))
    deployed = deployments.list_deployments(caller, service, limit=8, guest=guest.name)
    return frame.render(
        request,
        "guest.html",
        guest=guest,
        buttons=buttons,
        recent=recent.items,
        deployed=deployed.items,
        secrets=secrets,
    )


@router.post("/guests/{name}/credentials")
def credentials(request: Request, name: str, caller: Looking, service: Serving) -> Response:
    """Make a link that shows the guest's root password once, and show the link."""
    made = links.link_guest_credentials(request, name, caller, service)
    return frame.render(request, "credentials.html", 201, name=name, made=made)


@router.get("/guests/{name}/snapshots")
def snapshots(request: Request, name: str, caller: Looking, service: Serving) -> Response:
    """What its node says of it: it is asked when somebody looks."""
    guest = resource.get_guest(name, caller, service)
    labels, problem = frame.part(lambda: resource.list_snapshots(name, caller, service))
    live, silent = frame.part(lambda: resource.get_guest(name, caller, service, True).live)
    restore = actions.buttons(service, caller.person, ["guest.restore", "guest.delete_snapshot"], {"name": guest.name})
    return frame.render(
        request, "snapshots.html", guest=guest, labels=labels, live=live, problem=problem or silent, restore=restore
    )
