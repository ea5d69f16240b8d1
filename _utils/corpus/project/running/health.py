"""Health checks: a new version proves itself before anybody is sent to it."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import psutil

from corpus.errors import ConfigurationError, CorpusError
from corpus.project.running.supervision import poll

# a certificate's names are checked before it is served; here only this machine talks to itself
_LOOPBACK_TLS = ssl.create_default_context()
_LOOPBACK_TLS.check_hostname = False
_LOOPBACK_TLS.verify_mode = ssl.CERT_NONE

_KEYS = (
    *("path", "status", "timeout", "interval", "wait", "attempts"),
    *("contains", "host", "https", "redirects", "command"),
)


@dataclass(frozen=True)
class Check:
    """How a version is asked whether it is well.

    :param path: of the request
    :param status: statuses that are well; empty: everything below 500
    :param timeout: seconds in which it must become well
    :param interval: seconds between two questions
    :param host: Host header
    :param hints: what to do about a status that is not well although it is below 500
    :param wait: seconds before the first question
    :param attempts: questions at most; 0: as many as the timeout allows
    :param contains: text that must be in the page
    :param https: ask as if a visitor had come by https (X-Forwarded-Proto)
    :param redirects: how many of them to follow, all of them answered by the same process
    :param command: to be run instead of a question by http; well when its exit status is 0
    """

    path: str = "/"
    status: tuple[int, ...] = ()
    timeout: float = 30
    interval: float = 0.1
    host: str = "localhost"
    hints: Mapping[int, str] = field(default_factory=dict)
    wait: float = 0
    attempts: int = 0
    contains: str = ""
    https: bool = False
    redirects: int = 0
    command: str | tuple[str, ...] = ()

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Check:
        """Read the ``healthcheck`` of a configuration.

        :raises ConfigurationError: it has an unknown key, or a path that does not start with ``/``
        """
        given = dict(cfg["healthcheck"])
        unknown = sorted(set(given) - {*_KEYS, "hints"})
        path = given.get("path", "/")
        if unknown:
            raise ConfigurationError(f"healthcheck: there is no key {unknown[0]!r}: use {', '.join(_KEYS)}.")
        if not isinstance(path, str) or not path.startswith("/") or not all("!" <= sign <= "~" for sign in path):
            raise ConfigurationError(
                f"healthcheck: the path must start with '/' and be as a url has it (%20 for a space), not {path!r}."
            )
        host = given.get("host") or (cfg["domain"] or "localhost").replace("*.", "any.")
        if not isinstance(host, str) or not host or not all("!" <= sign <= "~" for sign in host):
            raise ConfigurationError(f"healthcheck: host must be a host name, not {host!r}.")
        if not isinstance(given.get("contains", ""), str) or not isinstance(given.get("https", False), bool):
            raise ConfigurationError("healthcheck: contains is a text, and https is true or false.")
        try:
            return cls(
                path=path,
                status=_statuses(given.get("status", ())),
                timeout=float(given.get("timeout", cls.timeout)),
                interval=max(float(given.get("interval", cls.interval)), 0.02),
                hints={int(status): str(hint) for status, hint in dict(given.get("hints") or {}).items()},
                host=host,
                wait=float(given.get("wait", 0)),
                attempts=int(given.get("attempts", 0)),
                contains=given.get("contains", ""),
                https=given.get("https", False),
                redirects=int(given.get("redirects", 0)),
                command=_command(given.get("command", ())),
            )
        except (TypeError, ValueError) as err:
            raise ConfigurationError(
                "healthcheck: status, timeout and interval are numbers (a status like 2xx, too), and so are wait, attempts and redirects."
            ) from err

    def well(self, status: int) -> bool:
        """Tell whether a status is well: one of those that were named, or any below 500 that no hint speaks of."""
        return status in self.status if self.status else status < 500 and status not in self.hints


def _statuses(given: Any) -> tuple[int, ...]:
    """Return the statuses that are meant: ``200``, ``"2xx"``, or several of these."""
    found: list[int] = []
    for one in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(one, str) and re.fullmatch(r"[1-5][xX]{2}", one):
            found += range(int(one[0]) * 100, int(one[0]) * 100 + 100)
        else:
            found.append(int(one))
    return tuple(found)


def _command(given: object) -> str | tuple[str, ...]:
    """Return a command: a line for the shell, or words.

    :raises ConfigurationError: it is neither
    """
    if isinstance(given, str):
        return given
    if isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
        return tuple(given)
    raise ConfigurationError("healthcheck: command is a command line, or a list of words.")


def wait(
    check: Check,
    address: str,
    port: int,
    alive: Callable[[], bool] = lambda: True,
    tls: bool = False,
    refused: Callable[[], str] = lambda: "",
) -> str:
    """Ask until the answer is well; return the answer in words.

    :param alive: asked between two questions; when it says no, waiting longer is in vain
    :param tls: ask by https; who answers is not asked to prove it: it is this machine
    :param refused: says, when nobody listens, what the process does instead
    :raises CorpusError: it did not become well in time; the message has the last answer
    """

    def question(seconds: float) -> tuple[bool, str]:
        try:
            return _answered(check, address, port, seconds, tls)
        except OSError as err:
            silent = f"no answer ({err.strerror or type(err).__name__})"
            return False, silent + (refused() if isinstance(err, ConnectionRefusedError) else "")
        except http.client.HTTPException as err:
            return False, f"no HTTP ({type(err).__name__})"

    return insist(check, question, alive)


def insist(check: Check, question: Callable[[float], tuple[bool, str]], alive: Callable[[], bool]) -> str:
    """Put a question again and again until the answer is well; return the answer in words.

    :param question: gets the seconds that it may take; returns whether the answer is well, and the answer in words
    :param alive: as in :func:`wait`
    :raises CorpusError: it did not become well in time, or in so many attempts; the message has the last answer
    """
    last = "no answer"
    if check.wait:
        for _ in poll(check.wait):
            if not alive():
                break
    deadline = time.monotonic() + check.timeout
    for number, _ in enumerate(poll(check.timeout, check.interval), 1):
        well, last = question(max(deadline - time.monotonic(), 0.5))
        if well:
            return last
        if not alive():
            last += ", and its process ended"
            break
        if number == check.attempts:
            raise CorpusError(f"The health check failed: {last}, in {number} attempt{'s' if number > 1 else ''}.")
    raise CorpusError(f"The health check failed: {last}, after {check.timeout:g} s at most.")


def _answered(check: Check, address: str, port: int, seconds: float, tls: bool) -> tuple[bool, str]:
    """Ask once; return whether the answer is well, and the answer in words."""
    path = check.path
    for left in range(check.redirects, -1, -1):
        with _asked(address, port, path, check.host, seconds, tls, check.https) as answer:
            status = answer.status  # the body may have no end
            where = answer.headers.get("Location", "")
            if 300 <= status < 400 and where and left and not (check.status and check.well(status)):
                path = _path_of(where, path)
                continue
            last = f"{path} answers {status}"
            if status in check.hints:
                last += f" ({check.hints[status]})"
            elif 300 <= status < 400 and where:
                last += f" and leads to {where[:200]}"
            if not check.well(status):
                return False, last
            if check.contains and check.contains not in answer.read(1 << 20).decode("utf-8", "replace"):
                return False, f"{last} without the text {check.contains[:80]!r}"
            return True, last
    raise AssertionError("the last answer is no redirect to follow")


def _path_of(location: str, path: str) -> str:
    """Return the path and the query that a redirect leads to: whoever it names, the same process is asked."""
    parts = urlsplit(urljoin(f"http://localhost{path}", location))
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def listens_instead(pids: Iterable[int], port: int) -> str:
    """Say what processes and their children listen on, when it is not ``port``."""
    found = set()
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    # psutil 6 renamed it
                    connections = getattr(one, "net_connections", None) or one.connections
                    found |= {each.laddr[:2] for each in connections("inet") if each.status == psutil.CONN_LISTEN}
    others = [f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}" for ip, number in sorted(found)]
    if others:
        return f": the web process listens on {', '.join(others)}, not on $PORT, which is {port} at 127.0.0.1"
    return f": the web process listens on no port; it must on $PORT, which is {port}"


def quiet(ports: Collection[int], seconds: float) -> bool:
    """Wait until nobody is connected to loopback ports of web processes any more: what was asked is answered then.

    :param seconds: at most
    :returns: whether it is so
    """
    return any(not _connected(ports) for _ in poll(seconds))


def _connected(ports: Collection[int]) -> bool:
    with suppress(psutil.Error, OSError):
        return any(
            each.laddr and each.laddr.port in ports and each.status == psutil.CONN_ESTABLISHED
            for each in psutil.net_connections("tcp")
        )
    return False


def listening(ports: Iterable[int], seconds: float) -> bool:
    """Wait until somebody accepts connections at each of these loopback ports.

    :param seconds: at most, for each
    :returns: whether it is so
    """

    def accepts(port: int) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    return all(any(accepts(port) for _ in poll(seconds)) for port in ports)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status and its body as text."""

    status: int
    body: str


def ask(address: str, port: int, path: str, host: str, timeout: float = 5) -> Answer:
    """GET ``path`` and return the answer.

    :raises OSError: nobody listens, or no answer within ``timeout`` seconds
    :raises http.client.HTTPException: what answers does not speak HTTP
    """
    with _asked(address, port, path, host, timeout) as answer:
        return Answer(answer.status, answer.read(65536).decode("utf-8", "replace"))


@contextmanager
def _asked(
    address: str, port: int, path: str, host: str, timeout: float, tls: bool = False, https: bool = False
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    if tls:
        plain = socket.create_connection((address, port), timeout)
        connection.sock = _LOOPBACK_TLS.wrap_socket(plain, server_hostname=host)
    try:
        headers = {"Host": host, "User-Agent": "corpus-healthcheck", "Connection": "close"}
        connection.request("GET", path, headers={**headers, **({"X-Forwarded-Proto": "https"} if https else {})})
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()
