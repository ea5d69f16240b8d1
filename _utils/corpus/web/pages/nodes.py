"""Compute nodes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.web.pages import actions, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import guests, operations
from corpus.web.routes import nodes as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)

_KINDS = [
    "compute_node.drain",
    "compute_node.undrain",
    "compute_node.image_sync",
    "compute_node.link_dns",
    "compute_node.add_key",
    "compute_node.remove_key",
    "platform.create",
    "compute_node.unlink",
]
_OF_PLATFORM = ["compute_node.switchmode", "platform.grant", "platform.revoke", "platform.delete"]


@router.get("/nodes")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """Those that one may see."""
    page = resource.list_nodes(caller, service, limit=50, after=after)
    new = actions.buttons(service, caller.person, ["compute_node.init", "compute_node.link", "image.build"], {})
    return frame.render(request, "nodes.html", page=page, buttons=new)


@router.get("/nodes/{name}")
def one(request: Request, name: str, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """One, with its guests and platforms."""
    node = resource.get_node(name, caller, service)
    platforms = [
        (
            platform,
            actions.buttons(service, caller.person, ["guest.create", *_OF_PLATFORM], {"platform": platform.uuid}),
        )
        for platform in node.platforms
    ]
    return frame.render(
        request,
        "node.html",
        node=node,
        buttons=actions.buttons(service, caller.person, _KINDS, {"node": node.name}),
        platforms=platforms,
        page=guests.list_guests(caller, service, limit=50, after=after, node=node.name),
        recent=operations.list_operations(caller, service, limit=8, subject=f"compute_node:{node.name}").items,
    )
