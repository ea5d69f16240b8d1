"""The application: everything mounted."""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from corpus import __version__
from corpus.web import description, pages, problems, routes
from corpus.web.audit import Auditing
from corpus.web.bodies import Bodies
from corpus.web.following import Feed
from corpus.web.login import Memberships, Throttle
from corpus.web.measuring import Measures, Measuring
from corpus.web.pages import frame
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
        description=description.DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
        generate_unique_id_function=description.operation_id,
    )
    description.describe(app, settings.secure)
    app.state.service = Service(settings)
    app.state.throttle = Throttle()
    app.state.memberships = Memberships(app.state.service)
    app.state.feed = feed = Feed(app.state.service)
    app.state.measures = measures = Measures(app.state.service)
    measures.follow(lambda: feed.followers)
    problems.install(app, frame.refused, lambda path: description.methods(app, path))
    app.add_middleware(Bodies, settings=settings)
    app.add_middleware(Auditing)
    for package, prefix in ((routes, "/api/v1"), (pages, "")):
        for name in sorted(one.name for one in pkgutil.iter_modules(package.__path__)):
            router = getattr(importlib.import_module(f"{package.__name__}.{name}"), "router", None)
            if router is not None:
                app.include_router(router, prefix=prefix)
    app.mount("/static", StaticFiles(directory=frame.STATIC), "static")

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

    app.add_middleware(Measuring, measures=measures)
    return app
