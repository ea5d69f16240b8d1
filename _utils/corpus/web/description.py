"""What OpenAPI tells of the service beyond what FastAPI finds by itself: tags, ways in, and errors as they are."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from corpus.web import login, problems

DESCRIPTION = """\
Everything that the runners of a corpus cloud do.

What takes long answers `202` with the address of an operation, which is polled (`GET /operations/{operation}`) or followed
(`GET /operations/{operation}/events`, server-sent events). With `?plan=true` it answers `200` with what would be done, and
does nothing. Whoever sends an `Idempotency-Key` may send the same request again: it is done once.

Lists come in parts: `next` of one is `after` of the one behind it. What two people can edit has an `ETag`, and is changed
with `If-Match`. Errors are RFC 9457's `application/problem+json`. What one may not see is not there (`404`).
"""

TAGS = {
    "session": "Logging in and out, and who one is.",
    "tokens": "Personal access tokens, for machines.",
    "links": "Secrets that are shown once.",
    "nodes": "Compute nodes: machines that guests live on.",
    "platforms": "Tenants' environments on compute nodes.",
    "guests": "Containers, each with its address, its names, its minion and its people.",
    "images": "What guests are cloned from.",
    "machines": "Machines of public clouds, before they are compute nodes.",
    "projects": "Applications that people push: releases, logs, environment.",
    "deployments": "What was deployed where, how it went, and what it brought.",
    "statistics": "How projects are delivered: the four DORA figures, over time.",
    "dns": "Zones, names and records.",
    "owners": "People: their keys and their roles.",
    "operations": "Long actions: listed, looked up, followed.",
    "audit": "Who did what, when, from where, with which result.",
    "controller": "The controller itself, and its registry.",
    "health": "Whether the service lives and can work, and what it measures.",
}
#: Operations that need nobody to be logged in.
_OPEN = {"log_in", "get_health", "get_readiness"}
#: Those that some may ask for without it.
_HALF_OPEN = {"get_metrics"}


def operation_id(route: APIRoute) -> str:
    """An operation's id: its function's name."""
    return route.name


def describe(app: FastAPI, secure: bool) -> None:
    """Let an application's specification tell everything.

    :param secure: whether the cookie has the name that it has with https
    """
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            spec = generated()
            spec["components"]["securitySchemes"] = {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token: of `POST /login`, or a personal one",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": login.cookie(secure),
                    "description": "For browsers",
                },
            }
            spec["security"] = [{"bearer": []}, {"cookie": []}]
            used = set()
            for methods in spec["paths"].values():
                for operation in methods.values():
                    used |= set(operation.get("tags", ()))
                    if operation["operationId"] in _OPEN:
                        operation["security"] = []
                    if operation["operationId"] in _HALF_OPEN:
                        operation["security"] = [{}, *spec["security"]]
                    for status, answer in operation["responses"].items():
                        if not status.startswith("2"):
                            _as_problem(answer)
            spec["tags"] = [{"name": name, "description": words} for name, words in TAGS.items() if name in used]
            app.openapi_schema = spec
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods that an address of the API takes; none for one that is not there.

    :param path: as it was asked for
    """
    found: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        pattern = re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found |= {method.upper() for method in operations}
    return sorted(found)


def _as_problem(answer: dict[str, Any]) -> None:
    answer["content"] = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
