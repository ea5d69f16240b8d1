"""Everybody is told: who pushed on the console, others by mail and webhook; a message that fails changes nothing."""

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.machine import Machine, free_port


class _Letters:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.letters: list[Any] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


@pytest.fixture
def post() -> Iterator[tuple[int, list[Any]]]:
    """A mail server: its port, and what it received."""
    letters, port = _Letters(), free_port()
    server = Controller(letters, hostname="127.0.0.1", port=port)
    server.start()
    yield port, letters.letters
    server.stop()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that takes webhooks: its address, and what was posted."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.append({**body, "token seen": self.headers.get("X-Token")})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
        server.shutdown()


def test_success_and_failure_are_told(
    machine: Machine, post: tuple[int, list[Any]], hook: tuple[str, list[dict[str, Any]]]
) -> None:
    (mail_port, letters), (address, posted) = post, hook
    machine.init(
        "told",
        notify_methods=["stdout", "mail", "webhook"],
        notify={
            "mail": {
                "to": ["ops@example.org", "dev@example.org"],
                "from": "c@example.org",
                "host": "127.0.0.1",
                "port": mail_port,
            },
            "webhook": {"url": address, "headers": {"X-Token": "hook-token-5512"}},
        },
    )
    tree = machine.work_tree("told", {"which": "one"})
    tree.commit({".salt/build.sls": "say:\n  mc_project.command:\n    - name: echo this is what the build says\n"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "this is what the build says" in pushed.errors
    assert "ok build" in pushed.errors
    revision = tree.branch()
    (letter,), (call,) = letters, posted
    assert letter["Subject"] == "[told] deploy succeeded"
    assert (letter["From"], letter["To"]) == ("c@example.org", "ops@example.org, dev@example.org")
    assert "success" in letter.get_content()
    assert revision in letter.get_content()
    assert (call["name"], call["result"], call["revision"]) == ("told", True, revision)
    assert call["token seen"] == "hook-token-5512"
    assert set(call["stages"]) >= {"configure", "build", "switch"}
    assert "hook-token-5512" not in pushed.said + machine.ok("mc_project.log", "told")

    machine.ok("mc_project.set_configuration", "told", notify={"mail": {"attach_report": True}})
    failing = tree.commit({".salt/build.sls": "b:\n  test.fail_with_changes:\n    - name: x\n"})
    assert tree.push().status != 0
    assert letters[1]["Subject"] == "[told] deploy FAILED"
    assert "Stage build failed" in letters[1].get_body().get_content()
    (attached,) = letters[1].iter_attachments()
    assert attached.get_filename().endswith(".html")
    assert "Stage build failed" in attached.get_content()
    assert (posted[1]["result"], posted[1]["revision"]) == (False, failing)

    # nobody listens any more: the deployment is what it is, and the failure to tell is reported
    machine.ok(
        "mc_project.set_configuration",
        "told",
        notify={"mail": {"port": free_port()}, "webhook": {"url": f"http://127.0.0.1:{free_port()}/"}},
    )
    good = tree.commit({".salt/build.sls": "# well\n"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "FAILED notify" in pushed.errors
    assert "mail could not be sent" in pushed.errors
    assert "webhook could not be sent" in pushed.errors
    assert tree.branch() == good
    assert len(letters) == len(posted) == 2
    again = machine.call("mc_project.notify", "told")
    assert again.status != 0
    assert "mail could not be sent" in again.errors

    machine.ok("mc_project.set_configuration", "told", notify_methods=["stdout", "pigeon"])
    tree.commit({"which": "two"})
    refused = tree.push()
    assert refused.status != 0
    assert "notify_methods: 'pigeon' is none of stdout, mail, webhook" in refused.errors
