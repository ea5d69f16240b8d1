"""Health checks against real servers, good and bad."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.running import health
from corpus.project.running.health import Check

from tests.machine import free_port


@contextmanager
def server(*answers: bytes | None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives one answer after the other, the last for ever; None: it stays silent.

    Yields its port and what it was asked.
    """
    over = threading.Event()
    asked: list[bytes] = []

    def serve() -> None:
        waiting = []
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(2)
            asked.append(connection.recv(65536))
            answer = answers[min(len(asked), len(answers)) - 1]
            if answer is None:
                waiting.append(connection)
                continue
            connection.sendall(answer)
            if b"endless" in answer:
                waiting.append(connection)
            else:
                connection.close()
        for connection in waiting:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            over.set()
            thread.join()


def http(status: int, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{key}: {value}" for key, value in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()


def test_well_at_once() -> None:
    with server(http(200, "ok")) as (port, asked):
        assert health.wait(Check(path="/up?x=1", host="demo.example.org"), "127.0.0.1", port) == "/up?x=1 answers 200"
    assert asked[0].startswith(b"GET /up?x=1 HTTP/1.1\r\n")
    assert b"Host: demo.example.org\r\n" in asked[0]
    assert b"User-Agent: corpus-healthcheck\r\n" in asked[0]


def test_well_after_a_while() -> None:
    with server(http(500), b"", b"\xff\xfe", http(503), http(200)) as (port, asked):
        assert health.wait(Check(interval=0.02), "127.0.0.1", port) == "/ answers 200"
        assert len(asked) == 5


@pytest.mark.parametrize(
    ("status", "wanted", "well"),
    [
        (200, (), True),
        (302, (), True),
        (404, (), True),
        (499, (), True),
        (500, (), False),
        (503, (), False),
        (200, (200,), True),
        (204, (200, 204), True),
        (404, (200,), False),
        (503, (503,), True),
    ],
)
def test_which_answers_are_well(status: int, wanted: tuple[int, ...], well: bool) -> None:
    check = Check(status=wanted, timeout=0.1, interval=0.02)
    with server(http(status)) as (port, _):
        if well:
            assert health.wait(check, "127.0.0.1", port) == f"/ answers {status}"
        else:
            with pytest.raises(CorpusError, match=f"health check failed: / answers {status}, after 0.1 s"):
                health.wait(check, "127.0.0.1", port)


def test_nobody_listens() -> None:
    with pytest.raises(CorpusError, match=r"no answer \(Connection refused\), after 0\.2 s at most"):
        health.wait(Check(timeout=0.2, interval=0.02), "127.0.0.1", free_port())


@pytest.mark.parametrize("answer", [b"220 mail.example.org ESMTP\r\n", b"\x00" * 20, b"SSH-2.0-x\r\n"])
def test_what_speaks_no_http(answer: bytes) -> None:
    with server(answer) as (port, _), pytest.raises(CorpusError, match=r"no HTTP \(BadStatusLine\)"):
        health.wait(Check(timeout=0.1, interval=0.02), "127.0.0.1", port)


def test_a_server_that_never_answers_costs_its_timeout_once() -> None:
    began = time.monotonic()
    with server(None) as (port, _), pytest.raises(CorpusError, match="no answer"):
        health.wait(Check(timeout=0.6, interval=0.02), "127.0.0.1", port)
    assert time.monotonic() - began < 3


def test_one_silence_near_the_end_does_not_double_the_time() -> None:
    began = time.monotonic()
    with server(*[http(500)] * 15, None) as (port, _), pytest.raises(CorpusError):
        health.wait(Check(timeout=2, interval=0.1), "127.0.0.1", port)
    assert time.monotonic() - began < 3


def test_a_body_without_an_end_does_not_matter() -> None:
    with server(http(200, "endless", **{"Content-Length": "1000000"})) as (port, _):
        assert health.wait(Check(timeout=2), "127.0.0.1", port) == "/ answers 200"


def test_a_process_that_ended_is_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(CorpusError, match=r"Connection refused\), and its process ended"):
        health.wait(Check(timeout=60), "127.0.0.1", free_port(), alive=lambda: False)
    assert time.monotonic() - began < 5


def test_a_process_that_ends_while_we_wait() -> None:
    lives = iter([True, True, False])
    with server(http(500)) as (port, asked):
        with pytest.raises(CorpusError, match="/ answers 500, and its process ended"):
            health.wait(Check(timeout=60, interval=0.02), "127.0.0.1", port, alive=lambda: next(lives))
        assert len(asked) == 3


def test_ask_returns_the_page() -> None:
    with server(http(418, "h\xe9llo")) as (port, _):
        assert health.ask("127.0.0.1", port, "/", "localhost") == health.Answer(418, "héllo")


def configured(domain: str | None = None, **healthcheck: Any) -> Check:
    return Check.configured({"healthcheck": healthcheck, "domain": domain})


def test_configured() -> None:
    assert configured() == Check()
    assert configured("demo.example.org", path="/up", status=[200, "204"], timeout="5", interval=0.5) == Check(
        "/up", (200, 204), 5, 0.5, "demo.example.org"
    )
    assert configured(status=200).status == (200,)
    assert configured(interval=0).interval > 0


def test_a_host_name_with_a_star_is_asked_for_by_one_of_its_names() -> None:
    assert configured("*.example.org").host == "any.example.org"


@pytest.mark.parametrize("key", ["paths", "url", "Path", ""])
def test_unknown_keys_are_named(key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no key '{key}': use path, status, timeout, interval, wait"):
        configured(**{key: 1})


@pytest.mark.parametrize(
    "path", ["", "up", "http://x/", "/a b", "/a\r\nHost: evil", "/\t", "/é", "/\x7f", "/\0", None, 5, ["/"]]
)
def test_paths_that_are_none(path: object) -> None:
    with pytest.raises(ConfigurationError, match=r"healthcheck: the path must start with '/'"):
        configured(path=path)


@pytest.mark.parametrize(
    "values",
    [{"status": "ok"}, {"status": [None]}, {"status": {}}, {"timeout": "soon"}, {"timeout": []}, {"interval": None}],
)
def test_numbers_that_are_none(values: dict[str, Any]) -> None:
    if values == {"status": {}}:
        values = {"status": [{}]}
    with pytest.raises(ConfigurationError, match="status, timeout and interval are numbers"):
        configured(**values)


def test_statuses_by_their_class() -> None:
    check = configured(status=["2xx", 404])
    assert [check.well(status) for status in (200, 299, 300, 404, 500)] == [True, True, False, True, False]


def test_a_page_must_have_its_text() -> None:
    with server(http(200, "starting"), http(200, "ready now")) as (port, asked):
        assert health.wait(Check(contains="ready", interval=0.02), "127.0.0.1", port) == "/ answers 200"
        assert len(asked) == 2
    with server(http(200, "starting")) as (port, _), pytest.raises(CorpusError, match="200 without the text 'ready'"):
        health.wait(Check(contains="ready", timeout=0.1), "127.0.0.1", port)


def test_attempts_end_the_questions() -> None:
    with server(http(500)) as (port, asked):
        with pytest.raises(CorpusError, match="/ answers 500, in 3 attempts"):
            health.wait(Check(attempts=3, interval=0.02), "127.0.0.1", port)
        assert len(asked) == 3


def test_redirects_are_followed_by_the_same_process() -> None:
    away = http(302, Location="https://elsewhere.example.org/login?next=/")
    with server(away, http(200)) as (port, asked):
        check = Check(redirects=1, status=(200,), https=True, host="demo.example.org")
        assert health.wait(check, "127.0.0.1", port) == "/login?next=/ answers 200"
    assert asked[1].startswith(b"GET /login?next=/ HTTP/1.1\r\n")
    assert b"Host: demo.example.org\r\n" in asked[1]
    assert b"X-Forwarded-Proto: https\r\n" in asked[1]
    with server(away) as (port, _), pytest.raises(CorpusError, match="302 and leads to https://elsewhere"):
        health.wait(Check(status=(200,), timeout=0.1), "127.0.0.1", port)


def test_the_first_question_waits() -> None:
    began = time.monotonic()
    with server(http(200)) as (port, _):
        health.wait(Check(wait=0.3), "127.0.0.1", port)
    assert time.monotonic() - began >= 0.3


def test_what_a_process_listens_on_instead() -> None:
    with server(http(200)) as (port, _):
        told = health.listens_instead([os.getpid()], 5)
        assert f"127.0.0.1:{port}" in told
        assert "not on $PORT, which is 5" in told
    assert "on no port; it must on $PORT, which is 5" in health.listens_instead([2**22 - 1], 5)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [({"host": "a b"}, "host name"), ({"contains": 5}, "text"), ({"https": "yes"}, "true or false")],
)
def test_values_that_cannot_be(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        configured(**values)
    with pytest.raises(ConfigurationError, match="command"):
        configured(command={})
