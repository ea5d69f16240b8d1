"""What all pages share: who looks at them, how they are rendered, and where one is sent who must log in first."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from corpus.controller.registry.models import now
from corpus.errors import CorpusError, Forbidden
from corpus.web import login, problems
from corpus.web.login import Caller
from corpus.web.service import Serving

FOLDER = Path(__file__).parent.parent
STATIC = FOLDER / "static"
_UNITS = ("B", "KB", "MB", "GB", "TB")


class LoginFirst(CorpusError):
    """A page that is for people who are logged in."""


def looking(request: Request, service: Serving) -> Caller:
    """Who looks at a page.

    :raises LoginFirst: nobody who is known
    """
    found = login.known(request, service)
    if found is None:
        raise LoginFirst("Log in first.")
    return found


#: A parameter of a page that is for people who are logged in.
Looking = Annotated[Caller, Depends(looking)]


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page.

    :param template: its file's name
    :param values: that it shows
    """
    caller = getattr(request.state, "caller", None)
    text = _environment().get_template(template).render(request=request, caller=caller, **values)
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def part(ask: Callable[[], Any]) -> tuple[Any, str]:
    """What somebody else says for a part of a page; or nothing, and why not. What is not theirs to see has no reason."""
    try:
        return ask(), ""
    except Forbidden:
        return None, ""
    except CorpusError as err:
        return None, str(err)


def away(where: str) -> RedirectResponse:
    """Send a browser to another page, after a form."""
    return RedirectResponse(where, 303)


def refused(request: Request, err: CorpusError) -> Response:
    """Return the page that tells of an error, or the way to the login."""
    if isinstance(err, LoginFirst):
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return away(f"/login?next={quote(back, safe='')}")
    status = problems.status_of(err)
    return render(request, "problem.html", status, number=status, words=str(err))


def within(where: str | None) -> str:
    """Return a path of ours to go on to; never another site's."""
    inside = where and where.startswith("/") and not where.startswith(("//", "/\\")) and "\n" not in where
    return str(where) if inside else "/"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(ago=ago, size=size, duration=duration, moment=moment)
    made.globals.update(static=static)
    return made


@cache
def static(name: str) -> str:
    """The address of a file that never changes under it: it has the content's digest."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def size(value: float | None) -> str:
    """Bytes as people read them."""
    if value is None:
        return "unknown"
    number, unit = float(value), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """Seconds as people read them."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(value: datetime.datetime | None) -> str:
    """A time, for machines and for who hovers."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def ago(value: datetime.datetime | None) -> str:
    """How long ago a time was, in words."""
    if value is None:
        return "never"
    seconds = (now() - value).total_seconds()
    for limit, unit, words in ((90, 1, "second"), (5400, 60, "minute"), (129600, 3600, "hour")):
        if seconds < limit:
            number = max(0, round(seconds / unit))
            return f"{number} {words}{'' if number == 1 else 's'} ago"
    return f"{round(seconds / 86400)} days ago"


def fields(values: Mapping[str, Any]) -> dict[str, str]:
    """What a form has, without what was left empty."""
    return {key: str(value).strip() for key, value in values.items() if str(value).strip()}
