"""The service's API: requests, lists part by part, events as they come, and errors in words."""

from __future__ import annotations

import datetime
import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import certifi
import httpx

from . import __version__, sessions
from .errors import (
    CONFLICT,
    FAILED,
    NOT_ALLOWED,
    NOT_THERE,
    UNREACHABLE,
    USAGE,
    ClientError,
    NotAllowed,
    NotThere,
    Unreachable,
    WrongUse,
)
from .sessions import Session
from .settings import Endpoint

#: Seconds: to connect, and for an answer; what is asked of guests takes long.
_CONNECTING, _ANSWERING = 10, 120
#: Seconds without a sign of life after which a stream is asked for again.
_SILENT = 45
#: Seconds for which a stream that broke is tried again.
PATIENCE = 60.0
#: The kind of what only says that a stream lives.
PING = ""
_STATUSES = {
    400: USAGE,
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_THERE,
    408: UNREACHABLE,
    409: CONFLICT,
    412: CONFLICT,
    413: USAGE,
    415: USAGE,
    422: USAGE,
    428: CONFLICT,
    429: NOT_ALLOWED,
    503: UNREACHABLE,
    504: UNREACHABLE,
}
_KINDS: dict[int, type[ClientError]] = {
    USAGE: WrongUse,
    NOT_ALLOWED: NotAllowed,
    NOT_THERE: NotThere,
    UNREACHABLE: Unreachable,
}


@dataclass(frozen=True)
class Event:
    """Something that happened.

    :param id: of the event; what comes after it can be asked for
    :param kind: such as ``operation.step``
    :param data: what is told of it
    """

    id: str | None
    kind: str
    data: dict[str, Any]


def place(*words: str) -> str:
    """Return the path of these words: ``place("guests", "shop")`` is ``/guests/shop``."""
    return "".join(f"/{quote(word, safe='')}" for word in words)


class Api:
    """An endpoint's API, asked by a person.

    :param endpoint: which
    :param secret: asks the person for their password, and for their name when it is not known
    :param note: is told of each request
    """

    def __init__(
        self,
        endpoint: Endpoint,
        secret: Callable[[Endpoint], tuple[str, str]],
        note: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.endpoint, self._secret, self._note = endpoint, secret, note
        self._token: str | None = None
        self._client = httpx.Client(
            base_url=f"{endpoint.url}/api/v1",
            headers={"User-Agent": f"corpus/{__version__}", "Accept": "application/json"},
            timeout=httpx.Timeout(_ANSWERING, connect=_CONNECTING),
            verify=_trusted(endpoint),
        )

    def close(self) -> None:
        """Leave."""
        self._client.close()

    # --- requests -----------------------------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path."""
        return self.ask("GET", path, query=query).json()

    def listed(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield a list's items, asked for part by part.

        :param limit: at most so many; None: all
        """
        after = None
        while limit is None or limit > 0:
            part = self.get(path, limit=min(limit or 500, 500), after=after, **query)
            yield from part["items"]
            after = part.get("next")
            if not after:
                return
            limit = limit if limit is None else limit - len(part["items"])

    def text(self, path: str, accept: str, **query: Any) -> str:
        """Return what is at a path, as it is."""
        return self.ask("GET", path, query=query, headers={"Accept": accept}).text

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask for something; return a good answer.

        :param body: JSON
        :raises ClientError: the answer is none, or no good one
        """
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        given = {key: value for key, value in (query or {}).items() if value is not None}
        answer = self._sent(method, path, json=body, params=given, headers=sent)
        if not answer.is_success:
            raise problem(answer)
        return answer

    def ask_as_nobody(self, method: str, path: str, body: Any) -> Any:
        """Ask for something without being logged in; return a good answer's content.

        :raises ClientError: the answer is none, or no good one
        """
        answer = self._raw(method, path, None, json=body)
        if not answer.is_success:
            raise problem(answer)
        return answer.json()

    def _sent(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as the person; log them in first, and once more when their session ended."""
        for again in (False, True):
            token = self.token()
            answer = self._raw(method, path, token, **more)
            if answer.status_code != 401 or again or not self._renewable():
                break
            sessions.forget(self.endpoint)
            self._token = None
        return answer

    def _raw(self, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        begun = time.monotonic()
        try:
            answer = self._client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as err:
            raise self._unreachable(err) from err
        self._note(f"{method} {answer.request.url.raw_path.decode()} {answer.status_code} {_ms(begun)}")
        return answer

    def _unreachable(self, err: Exception) -> Unreachable:
        url, nickname = self.endpoint.url, self.endpoint.nickname
        if "CERTIFICATE_VERIFY_FAILED" in str(err):
            return Unreachable(
                f"{url} shows a certificate that is not trusted: set cafile of {nickname} to its authority's certificate. ({err})"
            )
        return Unreachable(f"{url} does not answer: {err or type(err).__name__}. Is the url of {nickname} right?")

    # --- who asks -----------------------------------------------------------------------------------------------------

    def token(self) -> str:
        """What is sent: the token that was given, the session that is kept, or a new one."""
        if self._token is None:
            self._token = self.endpoint.given_token()
        if self._token is None:
            session = sessions.kept(self.endpoint) or self.log_in()
            self._token = session.token
        return self._token

    def _renewable(self) -> bool:
        return self._token is not None and self._token != self.endpoint.given_token()

    def log_in(self) -> Session:
        """Trade name and password for a session, and keep it.

        :raises NotAllowed: they are wrong
        """
        name, password = self._secret(self.endpoint)
        body = {"username": name, "password": password, "label": "corpus command"}
        told = self.ask_as_nobody("POST", "/login", body)
        session = Session(name, told["token"], datetime.datetime.fromisoformat(told["expires"].replace("Z", "+00:00")))
        sessions.keep(self.endpoint, session)
        self._token = session.token
        return session

    def log_out(self) -> bool:
        """End the session that is kept; return whether there was one."""
        session = sessions.kept(self.endpoint)
        sessions.forget(self.endpoint)
        if session is None:
            return False
        answer = self._raw("POST", "/logout", session.token)
        if not answer.is_success and answer.status_code != 401:
            raise problem(answer)
        return True

    # --- events -------------------------------------------------------------------------------------------------------

    def events(
        self, path: str, over: Callable[[], bool] = lambda: False, last: str | None = None, **query: Any
    ) -> Iterator[Event]:
        """Yield events as they come; a stream that breaks is taken up where it broke.

        :param over: tells, when the stream ended or nothing came for a while, whether there is nothing more to come
        :param last: id of the last that is known; None: what the path begins with
        :raises Unreachable: it could not be taken up for a while
        """
        broken: float | None = None
        while True:
            try:
                for event in self.stream(path, last, **query):
                    broken = None
                    if event.kind != PING:
                        last = event.id or last
                        yield event
                    elif over():
                        return
                if over():
                    return
            except Unreachable as err:
                broken = broken or time.monotonic()
                if time.monotonic() - broken > PATIENCE:
                    raise
                self._note(str(err))
            time.sleep(0.5 if broken is None else min(5.0, 0.5 + (time.monotonic() - broken) / 4))

    def stream(self, path: str, last: str | None = None, **query: Any) -> Iterator[Event]:
        """Yield the events of one stream, until it ends or is silent for too long.

        :param last: id of the last that is known
        :raises Unreachable: it broke
        """
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.token()}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        given = {key: value for key, value in query.items() if value is not None}
        timeout = httpx.Timeout(_SILENT, connect=_CONNECTING)
        try:
            with self._client.stream("GET", path, params=given, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise problem(answer)
                self._note(f"GET {answer.request.url.raw_path.decode()} {answer.status_code} (stream)")
                yield from parsed(answer.iter_lines())
        except httpx.ReadTimeout:
            return  # silence: looked at again
        except httpx.HTTPError as err:
            raise self._unreachable(err) from err


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Yield the events of a stream (``text/event-stream``); of its comments, an event of the kind :data:`PING`."""
    given: dict[str, str] = {}
    data: list[str] = []
    for line in lines:
        if line.startswith(":"):
            yield Event(None, PING, {})
            continue
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            else:
                given[field] = value
            continue
        if data:
            told = json.loads("\n".join(data))
            yield Event(given.get("id"), given.get("event", "message"), told if isinstance(told, dict) else {"": told})
        given, data = {}, []


def problem(answer: httpx.Response) -> ClientError:
    """Return an answer that is no good one, in words."""
    status = _STATUSES.get(answer.status_code, FAILED)
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = (
            f"{answer.request.url} answers {answer.status_code}, and nothing that corpus would say: is this its url?"
        )
        return ClientError(detail, UNREACHABLE if answer.status_code >= 500 or status == FAILED else status)
    return _KINDS.get(status, ClientError)(detail, status)


def _trusted(endpoint: Endpoint) -> ssl.SSLContext:
    """The authorities that are believed: those of the endpoint's ``cafile``, or the system's and the usual ones."""
    try:
        if endpoint.cafile is not None:
            return ssl.create_default_context(cafile=str(endpoint.cafile))
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
    except (OSError, ssl.SSLError) as err:
        raise ClientError(f"cafile {endpoint.cafile} of {endpoint.nickname} cannot be read: {err}", USAGE) from err
    return context


def _ms(begun: float) -> str:
    return f"{(time.monotonic() - begun) * 1000:.0f} ms"
