"""Streams that break or end, over real connections, are taken up where they were."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from corpus.client import api as room
from corpus.client import tailing
from corpus.client.api import Api
from corpus.client.errors import ClientError, NotAllowed
from corpus.client.settings import Endpoint

#: What each connection to a path gets: events, and how it ends.
Answers = list[list[tuple[str, dict[str, object]]]]


class Service(ThreadingHTTPServer):
    """Answers each request with the next stream; one that is empty breaks off.

    :ivar asked: ``Last-Event-ID`` of each request
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.streams: Answers = []
        self.asked: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Last-Event-ID"))
        if not self.server.streams:
            body = json.dumps({"detail": "Log in first."}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        stream = self.server.streams.pop(0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", "10" if not stream else "1000")  # more than comes: it breaks
        self.end_headers()
        for at, (kind, data) in enumerate(stream):
            told = f"id: {len(self.server.asked)}{at}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            self.wfile.write(told.encode())
        self.close_connection = True

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def api(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setenv("CORPUS_TOKEN", "t")
    monkeypatch.setattr(room.time, "sleep", lambda _seconds: None)
    made = Api(Endpoint("x", f"http://127.0.0.1:{service.server_port}"), lambda _endpoint: ("ada", "x"))
    yield made
    made.close()


def _lines(*lines: str) -> list[tuple[str, dict[str, object]]]:
    return [("log.line", {"line": line}) for line in lines]


def test_events_go_on_behind_the_last_one(api: Api, service: Service) -> None:
    service.streams = [_lines("a", "b"), [], _lines("c")]
    found = []
    with pytest.raises(NotAllowed):
        found += (event.data["line"] for event in api.events("/events"))
    assert service.asked == [None, "11", "11", "30"]


def test_a_log_is_followed_over_streams_that_end(api: Api, service: Service) -> None:
    gone = ("log.problem", {"detail": "The guest is stopped."})
    service.streams = [[*_lines("a", "b"), ("log.end", {})], _lines("b"), [*_lines("b", "c"), gone]]
    seen: list[str] = []
    lines = tailing.followed(api, "/logs", {})
    with pytest.raises(ClientError, match="stopped"):
        seen.extend(lines)
    assert seen == ["a", "b", "c"]
