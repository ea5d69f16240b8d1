"""Servers of Python applications: which one an application brings, how it is started, which we would install beside."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from corpus.project.python.application import ASGI, WSGI, Application

#: installed when an application brings no server of its kind
PINNED = {WSGI: "gunicorn==27.0.1", ASGI: "uvicorn==0.54.0"}


@dataclass(frozen=True)
class Serving:
    """How an application is served.

    :param command: command line of the process type ``web``
    :param install: the server to install beside, pinned; empty when the application brings one
    """

    command: str
    install: str


def serving(application: Application, packages: set[str]) -> Serving:
    """Return how an application is served, by the server that it brings when there is one.

    How many processes work is said by WEB_CONCURRENCY, which gunicorn and uvicorn read themselves.

    :param packages: names that the application depends on, as PEP 503 spells them
    """
    if application.kind == ASGI:
        order, known = ("uvicorn", "hypercorn", "granian", "daphne"), _asgi(application)
    else:
        order, known = ("gunicorn", "waitress", "granian", "uwsgi"), _wsgi(application)
    brought = next((server for server in order if server in packages), None)
    if brought:
        return Serving(known[brought], "")
    command = known[order[0]]
    if application.kind == WSGI:  # its control socket has one name, and two releases run at once
        command = command.replace("gunicorn ", "gunicorn --no-control-socket ", 1)
    return Serving(command, PINNED[application.kind])


def _asgi(application: Application) -> dict[str, str]:
    reference, made = application.reference, application.factory
    folder = f" --app-dir {application.folder}" if application.folder else ""
    path = f"PYTHONPATH={application.folder} " if application.folder else ""
    called = f"{reference}()" if made else reference
    return {
        "uvicorn": f"uvicorn {'--factory ' if made else ''}--host 127.0.0.1 --port $PORT{folder} {reference}",
        "hypercorn": _with(path, f"hypercorn --bind 127.0.0.1:$PORT {shlex.quote(called)}"),
        "granian": _with(
            path, f"granian --interface asgi --host 127.0.0.1 --port $PORT {'--factory ' if made else ''}{reference}"
        ),
        "daphne": _with(path, f"daphne --bind 127.0.0.1 --port $PORT {reference}"),
    }


def _wsgi(application: Application) -> dict[str, str]:
    reference, made = application.reference, application.factory
    folder = f" --chdir {application.folder}" if application.folder else ""
    path = f"PYTHONPATH={application.folder} " if application.folder else ""
    called = shlex.quote(f"{reference}()") if made else reference
    return {
        "gunicorn": f"gunicorn --bind 127.0.0.1:$PORT{folder} {called}",
        "waitress": _with(path, f"waitress-serve --listen=127.0.0.1:$PORT {'--call ' if made else ''}{reference}"),
        "granian": _with(
            path, f"granian --interface wsgi --host 127.0.0.1 --port $PORT {'--factory ' if made else ''}{reference}"
        ),
        "uwsgi": _with(
            path,
            f"uwsgi --master --die-on-term --need-app --http-socket 127.0.0.1:$PORT --module {shlex.quote(called.strip(chr(39)))}",
        ),
    }


def _with(path: str, command: str) -> str:
    return f"env {path}{command}" if path else command
