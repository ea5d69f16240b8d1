"""DNS: zones, and what the name server has of them beside what the registry says."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.web.pages import actions, frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import dns as resource
from corpus.web.routes.dns import Zone
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/dns")
def zones(request: Request, caller: Looking, service: Serving, now: bool = False) -> Response:
    """The zones of the name server, and what would be changed; that comes when the page is there."""
    service.allowed(caller, "dns.zones", {})
    buttons = actions.buttons(service, caller.person, ["dns.create_zone", "dns.add", "dns.remove"], {})
    apply = actions.buttons(service, caller.person, ["dns.apply"], {})
    found, problem, plan, silent = None, "", None, ""
    if now:
        found, problem = frame.part(lambda: resource.list_zones(caller, service))
        plan, silent = frame.part(lambda: resource.compare_names(caller, service))
    return frame.render(
        request, "zones.html", now=now, zones=found, plan=plan, problem=problem or silent, buttons=buttons, apply=apply
    )


@router.get("/dns/{zone}")
def zone(request: Request, zone: Zone, caller: Looking, service: Serving) -> Response:
    """One zone, with its records."""
    records = resource.list_records(zone, caller, service)
    delegation, _ = frame.part(lambda: resource.get_delegation(zone, caller, service).ds)
    kinds = ["dns.apply", "dns.sign", "dns.unsign", "dns.delete_zone"]
    buttons = [
        *actions.buttons(service, caller.person, ["dns.add", "dns.remove"], {}),
        *actions.buttons(service, caller.person, kinds, {"zone": zone}),
    ]
    return frame.render(request, "zone.html", zone=zone, records=records, delegation=delegation or [], buttons=buttons)
