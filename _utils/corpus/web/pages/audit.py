"""The audit: who asked for what, from where, and what came of it."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import audit as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)

_FILTERS = ("who", "action", "subject")


@router.get("/audit")
def several(request: Request, caller: Looking, service: Serving, after: str | None = None) -> Response:
    """The newest first; those of others are for sysadmins."""
    wanted = {key: value[:300] for key, value in frame.fields(request.query_params).items() if key in _FILTERS}
    who, action, subject = (wanted.get(key) for key in _FILTERS)
    page = resource.list_audit(caller, service, 50, after, who, action, subject)
    more = urlencode({**wanted, "after": page.next}) if page.next else ""
    return frame.render(request, "audit.html", page=page, wanted=wanted, more=more)
