"""More processes, fewer, new ones, and what they say: through the doors, while somebody asks all the time."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.asking import asking
from tests.machine import Machine, WorkTree, deadline

APP = """
import http.server, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        body = os.environ["PORT"].encode()
        self.send_response(500 if os.path.exists(os.path.join(os.environ["DATA_ROOT"], "ill")) else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

print("token", os.environ["TOKEN"], flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"app.py": APP, "Procfile": "web: python3 -u app.py\nwork: sh -c 'while sleep 1; do echo tick; done'\n"}
SECRET = "a-token-that-nobody-sees"


@pytest.fixture(scope="module")
def port(machine: Machine) -> int:
    """Of a project that is deployed."""
    settings = machine.init("team", env={"TOKEN": SECRET}, healthcheck={"timeout": 3}, drain=3)
    tree: WorkTree = machine.work_tree("team", FILES)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    return int(settings["http_port"])


def up(machine: Machine) -> list[str]:
    """The processes that run, by name."""
    rows = machine.ok("mc_project.ps", "team")
    assert {row["state"] for row in rows} == {"RUNNING"}
    assert all(row["pid"] and row["memory"] > 0 and row["cpu"] >= 0 for row in rows)
    return [f"{row['type']}.{row['number']}" for row in rows]


def test_processes_come_and_go_without_a_request_lost(machine: Machine, port: int) -> None:
    with asking(port) as quick, asking(port, "/slow", 0.2, 6) as slow:
        machine.ok("mc_project.scale", "team", web=3, work=0)
        assert up(machine) == ["web.1", "web.2", "web.3"]
        assert machine.ok("mc_project.get_configuration", "team")["scale"] == {"web": 3, "work": 0}
        machine.ok("mc_project.restart", "team", "web")
        assert up(machine) == ["web.4", "web.5", "web.6"]
        machine.ok("mc_project.activate", "team")
        machine.ok("mc_project.scale", "team", web=1, work=2)
        assert up(machine) == ["web.1", "work.1", "work.2"]
    assert (quick.lost, slow.lost) == ([], [])
    assert len(set(quick.texts)) >= 7, "all of them answered"


def test_new_ones_that_are_not_well_change_nothing(machine: Machine, port: int) -> None:
    before = up(machine)
    ill = machine.project("team") / "data/ill"
    ill.touch()
    ended = machine.call("mc_project.scale", "team", web=2)
    ill.unlink()
    assert ended.status != 0
    assert "The health check failed: / answers 500" in ended.answer["comment"]
    assert up(machine) == before
    assert machine.page(port)[0] == 200
    assert machine.ok("mc_project.get_configuration", "team")["scale"]["web"] == 1


@pytest.mark.parametrize(
    ("arguments", "keywords", "words"),
    [
        (["mc_project.scale", "team"], {"web": -1}, "from 0 to 100, not '-1'"),
        (["mc_project.scale", "team"], {"web": 10000}, "from 0 to 100"),
        (["mc_project.scale", "team"], {"wbe": 1}, "no process type 'wbe' (there: web, work)"),
        (["mc_project.scale", "team"], {}, "Say how many"),
        (["mc_project.restart", "team", "x"], {}, "no process type 'x' (there: web, work)"),
        (["mc_project.logs", "team", "../x"], {}, "no process type '../x' (there: web, work)"),
        (["mc_project.logs", "team"], {"lines": -1}, "lines must be a whole number"),
    ],
)
def test_bad_input(machine: Machine, port: int, arguments: list[str], keywords: dict[str, int], words: str) -> None:
    assert words in machine.refused(*arguments, **keywords)


def test_logs_are_shown_and_followed_without_secrets(machine: Machine, port: int) -> None:
    machine.ok("mc_project.restart", "team", "web")
    said = machine.ok("mc_project.logs", "team", "web", lines=1)
    assert said.startswith("token ")
    assert SECRET not in said
    with following(machine) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)
    assert "work | tick\n" in lines
    assert SECRET not in "".join([*lines, *rest])
    assert "Traceback" not in rest[1]


@contextlib.contextmanager
def following(machine: Machine) -> Iterator["subprocess.Popen[str]"]:
    process = machine.begin("mc_project.logs", "team", lines=1, follow=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_killed_on_the_way_the_next_call_brings_back_what_ran(machine: Machine, port: int) -> None:
    before = up(machine)
    called = machine.begin("mc_project.scale", "team", web=4)
    journal = machine.project("team") / ".corpus/journal"
    for _ in deadline(30, 0.005):
        if journal.exists() and '"serve"' in journal.read_text():
            break
    os.kill(called.pid, signal.SIGKILL)
    called.communicate()
    machine.ok("mc_project.post_install", "team")
    assert not journal.exists()
    there = up(machine)
    assert there == before or len([name for name in there if name.startswith("web.")]) == 4
    assert machine.page(port)[0] == 200
