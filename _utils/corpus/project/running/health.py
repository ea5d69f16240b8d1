"""Health checks: a new version proves itself before anybody is sent to it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from corpus.errors import ConfigurationError, CorpusError
from corpus.project.running.supervision import poll

# a certificate's names are checked before it is served; here only this machine talks to itself
_LOOPBACK_TLS = ssl.create_default_context()
_LOOPBACK_TLS.check_hostname = False
_LOOPBACK_TLS.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Check:
    """How a version is asked whether it is well.

    :param path: of the request
    :param status: statuses that are well; empty: everything below 500
    :param timeout: seconds in which it must become well
    :param interval: seconds between two questions
    :param host: Host header
    :param hints: what to do about a status that is not well although it is below 500
    """

    path: str = "/"
    status: tuple[int, ...] = ()
    timeout: float = 30
    interval: float = 0.1
    host: str = "localhost"
    hints: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Check:
        """Read the ``healthcheck`` of a configuration.

        :raises ConfigurationError: it has an unknown key, or a path that does not start with ``/``
        """
        given = dict(cfg["healthcheck"])
        unknown = sorted(set(given) - {"path", "status", "timeout", "interval", "hints"})
        path = given.get("path", "/")
        if unknown:
            raise ConfigurationError(
                f"healthcheck: there is no key {unknown[0]!r}: use path, status, timeout, interval."
            )
        if not isinstance(path, str) or not path.startswith("/") or not all("!" <= sign <= "~" for sign in path):
            raise ConfigurationError(
                f"healthcheck: the path must start with '/' and be as a url has it (%20 for a space), not {path!r}."
            )
        status = given.get("status", ())
        status = status if isinstance(status, (list, tuple)) else [status]
        try:
            return cls(
                path=path,
                status=tuple(int(one) for one in status),
                timeout=float(given.get("timeout", cls.timeout)),
                interval=max(float(given.get("interval", cls.interval)), 0.02),
                hints={int(status): str(hint) for status, hint in dict(given.get("hints") or {}).items()},
                host=(cfg["domain"] or "localhost").replace("*.", "any."),
            )
        except (TypeError, ValueError) as err:
            raise ConfigurationError("healthcheck: status, timeout and interval are numbers.") from err

    def well(self, status: int) -> bool:
        """Tell whether a status is well: one of those that were named, or any below 500 that no hint speaks of."""
        return status in self.status if self.status else status < 500 and status not in self.hints


def wait(check: Check, address: str, port: int, alive: Callable[[], bool] = lambda: True, tls: bool = False) -> str:
    """Ask until the answer is well; return the answer in words.

    :param alive: asked between two questions; when it says no, waiting longer is in vain
    :param tls: ask by https; who answers is not asked to prove it: it is this machine
    :raises CorpusError: it did not become well in time; the message has the last answer
    """
    last = "no answer"
    deadline = time.monotonic() + check.timeout
    for _ in poll(check.timeout, check.interval):
        try:
            seconds = max(deadline - time.monotonic(), 0.5)
            with _asked(address, port, check.path, check.host, seconds, tls) as answer:
                status = answer.status  # the body may have no end
        except OSError as err:
            last = f"no answer ({err.strerror or type(err).__name__})"
        except http.client.HTTPException as err:
            last = f"no HTTP ({type(err).__name__})"
        else:
            last = f"{check.path} answers {status}"
            if check.well(status):
                return last
            if status in check.hints:
                last += f" ({check.hints[status]})"
        if not alive():
            last += ", and its process ended"
            break
    raise CorpusError(f"The health check failed: {last}, after {check.timeout:g} s at most.")


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
    address: str, port: int, path: str, host: str, timeout: float, tls: bool = False
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    if tls:
        plain = socket.create_connection((address, port), timeout)
        connection.sock = _LOOPBACK_TLS.wrap_socket(plain, server_hostname=host)
    try:
        connection.request(
            "GET", path, headers={"Host": host, "User-Agent": "corpus-healthcheck", "Connection": "close"}
        )
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()
