"""What is read from the wire, and the exit status that an answer becomes."""

import corpus
import httpx
import pytest
from corpus.client import __version__, api
from corpus.client.api import PING, Event, parsed, place
from corpus.client.output import harmless, moment, size


def test_events_of_a_stream() -> None:
    lines = [
        ": ping",
        "id: 7",
        "event: operation.step",
        'data: {"name": "DNS",',
        'data: "state": "done"}',
        "",
        "retry: 5",
        "",
        "data:3",
        "",
        'data: {"cut": "off"}',
    ]
    assert list(parsed(iter(lines))) == [
        Event(None, PING, {}),
        Event("7", "operation.step", {"name": "DNS", "state": "done"}),
        Event(None, "message", {"": 3}),
    ]


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (400, 2),
        (401, 3),
        (403, 3),
        (404, 4),
        (409, 6),
        (412, 6),
        (422, 2),
        (428, 6),
        (429, 3),
        (500, 1),
        (502, 1),
        (503, 5),
    ],
)
def test_a_problem_becomes_words_and_an_exit_status(status: int, ends: int) -> None:
    request = httpx.Request("GET", "https://x.org/api/v1/me")
    err = api.problem(httpx.Response(status, json={"detail": "So it is."}, request=request))
    assert (str(err), err.status) == ("So it is.", ends)


def test_an_answer_of_something_else_is_no_answer() -> None:
    request = httpx.Request("GET", "https://x.org/api/v1/me")
    err = api.problem(httpx.Response(502, text="<html>Bad Gateway</html>", request=request))
    assert err.status == 5
    assert "is this its url" in str(err)


def test_names_stay_names_in_paths() -> None:
    assert place("guests", "../me?x", "names") == "/guests/..%2Fme%3Fx/names"


def test_what_people_read() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 * 1024**3, 2**60)] == ["0 B", "1023 B", "1.0 kB", "5.0 GB", "1048576 TB"]
    assert moment("2026-11-25T05:00:00Z").startswith("2026-11-2")
    assert moment("shop") == "shop"
    assert "\x1b" not in harmless("a\x1b[2Jb\x9bc")


def test_both_distributions_have_one_version() -> None:
    assert __version__ == corpus.__version__
