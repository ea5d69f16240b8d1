"""The controller itself, for sysadmins: whether its parts answer, what was cut short, and the registry against the world."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import controller as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/controller")
def controller(request: Request, caller: Looking, service: Serving, now: bool = False) -> Response:
    """How it is; what the master must tell comes when the page is there."""
    service.allowed(caller, "controller.report", {})
    report = resource.get_controller(caller, service) if now else None
    return frame.render(request, "controller.html", report=report, compared=None, settled=None)


@router.post("/controller/check")
async def check(request: Request, caller: Looking, service: Serving) -> Response:
    """Compare the registry with the world; with ``fix``, put right what can be."""
    from starlette.concurrency import run_in_threadpool

    fix = (await request.form()).get("fix") == "yes"

    def look() -> Response:
        compared = resource.check_registry(request, resource.Repair(fix=fix), caller, service)
        report = resource.get_controller(caller, service)
        return frame.render(request, "controller.html", report=report, compared=compared, settled=None)

    return await run_in_threadpool(look)


@router.post("/controller/resume")
def resume(request: Request, caller: Looking, service: Serving) -> Response:
    """Settle what was cut short."""
    settled = resource.resume_operations(request, resource.Left(), caller, service)
    report = resource.get_controller(caller, service)
    return frame.render(request, "controller.html", report=report, compared=None, settled=settled)
