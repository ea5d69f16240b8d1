"""The application: everything mounted."""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import FastAPI

from corpus import __version__
from corpus.web import problems, routes
from corpus.web.audit import Auditing
from corpus.web.following import Feed
from corpus.web.login import Throttle
from corpus.web.service import Service
from corpus.web.settings import WebSettings

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}


def create(settings: WebSettings) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="corpus",
        version=__version__,
        summary="Compute nodes, guests, projects and names of a corpus cloud",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    app.state.service = Service(settings)
    app.state.throttle = Throttle()
    app.state.feed = Feed(app.state.service)
    problems.install(app)
    app.add_middleware(Auditing)
    for module in sorted(one.name for one in pkgutil.iter_modules(routes.__path__)):
        app.include_router(importlib.import_module(f"corpus.web.routes.{module}").router, prefix="/api/v1")

    @app.middleware("http")
    async def headers(request, call_next):  # type: ignore[no-untyped-def]
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if request.url.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app
