"""Nobody who asks meets a version that is not well: good deployments, each way of failing, rollback, restart."""

import json
from typing import Any

import pytest

from tests.asking import asking
from tests.machine import Machine

APPLICATION = """
import http.server, os, sys, time

BEHAVIOUR = open("BEHAVIOUR").read().strip()
if BEHAVIOUR == "dies":
    sys.exit("no such setting")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        status = 500 if BEHAVIOUR == "ill" and self.path == "/health" else 200
        body = open("VERSION").read().encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

port = 0 if BEHAVIOUR == "deaf" else int(os.environ["PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
FILES = {
    "app.py": APPLICATION,
    "Procfile": "web: /usr/bin/python3 -u app.py\n",
    "VERSION": "good",
    "BEHAVIOUR": "",
    ".salt/post_install.sls": "",
    ".salt/build.sls": "",
}
BUILT = "built:\n  file.managed:\n    - name: {{ cfg.project_root }}/built\n    - contents: built\n"
FAILS = "fails:\n  cmd.run:\n    - name: echo no such thing >&2; exit 3\n"
WAYS: dict[str, tuple[dict[str, str], str]] = {
    "a build that errors": ({".salt/build.sls": FAILS}, "no such thing"),
    "a process that dies": ({"BEHAVIOUR": "dies"}, "no such setting"),
    "a port never opened": ({"BEHAVIOUR": "deaf"}, "not on $PORT, which is"),
    "a health check that fails": ({"BEHAVIOUR": "ill"}, "/health answers 500"),
    "an upgrade that fails": ({".salt/upgrades/0001-no.sls": FAILS}, "no such thing"),
    "a post_install that fails": ({".salt/post_install.sls": FAILS}, "no such thing"),
}


def test_nobody_is_lost_whatever_happens(machine: Machine) -> None:
    """Two web processes, a page every 10 ms, and slow pages under way all the time."""
    port = machine.init("steady", healthcheck={"path": "/health", "timeout": 2}, scale={"web": 2})["http_port"]
    tree = machine.work_tree("steady", FILES)
    first = tree.push()
    assert first.status == 0, first.said
    with asking(port) as quick, asking(port, "/slow", every=0.25, visitors=8) as slow:
        for way, (files, complaint) in WAYS.items():
            before = tree.git("rev-parse", "HEAD").output.strip()
            tree.commit({"VERSION": way, **files}, way)
            pushed = tree.push()
            assert pushed.status != 0, way
            assert complaint in pushed.errors, f"{way}: {pushed.errors}"
            tree.git("reset", "--quiet", "--hard", before)
        tree.commit({"VERSION": "better"})
        better = tree.push()
        assert better.status == 0, better.said
        machine.ok("mc_project.rollback", "steady")
    assert quick.lost == []
    assert slow.lost == []
    # What fails in post_install has proved itself and was served until then.
    assert set(quick.texts) == {"good", "a post_install that fails", "better"}
    assert quick.texts[-1] == "good"
    assert len(quick) > 500


@pytest.mark.parametrize(
    ("check", "complaint"),
    [({"command": "test $PORT -gt 20000 && cat VERSION"}, ""), ({"command": "echo ill; exit 4"}, "ends with 4: ill")],
)
def test_a_command_tells_whether_a_version_is_well(machine: Machine, check: dict[str, Any], complaint: str) -> None:
    name = "well" if not complaint else "unwell"
    machine.init(name, healthcheck={**check, "timeout": 3})
    pushed = machine.work_tree(name, FILES).push()
    assert (pushed.status != 0) is bool(complaint), pushed.said
    assert (complaint or "the command ends with 0: good") in pushed.errors
    assert json.dumps(check["command"]) not in pushed.errors


MIGRATION = """\
# Renames a column that the old version reads.
# maintenance: true
migrate:
  cmd.run:
    - name: >-
        ls {{ cfg.project_dir }}/../.corpus/front/closed > {{ cfg.data_root }}/closed; RESULT
"""


def test_an_upgrade_that_the_old_version_would_not_survive(machine: Machine) -> None:
    """Behind the page nothing of the project runs; a failure brings the old version back, and the page goes."""
    port = machine.init("moving")["http_port"]
    tree = machine.work_tree("moving", FILES)
    assert tree.push().status == 0
    with asking(port) as quick, asking(port, "/slow", every=0.25, visitors=8) as slow:
        tree.commit({"VERSION": "moved", ".salt/upgrades/0001-move.sls": MIGRATION.replace("RESULT", "exit 4")})
        failed = tree.push()
        assert failed.status != 0, failed.said
        assert "stays as it is, but for what the rollback sls takes back" in failed.errors
        assert machine.page(port) == (200, "good")
        tree.commit({".salt/upgrades/0001-move.sls": MIGRATION.replace("RESULT", "true")})
        moved = tree.push()
        assert moved.status == 0, moved.said
    assert "maintenance page shown" in moved.errors
    assert quick.texts == ["good", "moved"]
    assert {answer.status for answer in quick.lost} == {503}, "the page, and nothing else"
    assert {answer.status for answer in slow.given} == {200, 503}
    data = machine.project("moving") / "data"
    assert "moving" in (data / "closed").read_text()
    assert machine.page(port) == (200, "moved")


def test_services_stop_during_the_build_where_that_is_wanted(machine: Machine) -> None:
    """The tree is moved to the archive and made anew; what fails brings it back from there."""
    port = machine.init("small", services_during_build="stop")["http_port"]
    tree = machine.work_tree("small", {**FILES, ".salt/build.sls": BUILT})
    assert tree.push().status == 0
    project = machine.project("small")
    first = (project / "project").stat().st_ino
    with asking(port) as quick:
        tree.commit({"VERSION": "bad", "BEHAVIOUR": "dies"})
        bad = tree.push()
        assert bad.status != 0
        assert machine.page(port) == (200, "good")
        assert (project / "project").stat().st_ino == first
        tree.commit({"VERSION": "better", "BEHAVIOUR": ""})
        better = tree.push()
        assert better.status == 0, better.said
    assert "the old tree moved to its archive" in better.errors
    assert {answer.status for answer in quick.lost} == {503}
    assert quick.texts == ["good", "better"]
    kept = {entry["release"]: entry["kept"] for entry in machine.releases("small")}
    assert sorted(kept.values()) == ["archive", "running"]
    (archive,) = (project / "archives").glob("*/project")
    assert archive.stat().st_ino == first, "moved, not copied"
    assert "services stopped" in machine.ok("mc_project.history", "small")[0]["strategy"]
    machine.ok("mc_project.rollback", "small")
    assert machine.page(port) == (200, "good")
