"""The application's environment: set and unset without a downtime, rolled back with its release, and never told."""

import json
import os
import subprocess
from pathlib import Path

from tests.asking import asking
from tests.machine import Machine

SECRET = "correct\nhörse {domain} 'battery' \"staple\" 42"
APPLICATION = """
import http.server, json, os, time

if os.environ.get("FATAL"):
    raise SystemExit("FATAL is set")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        names = ("SECRET_TEXT", "NUMBER", "PLAIN", "built")
        values = {name: os.environ[name] for name in names if name in os.environ}
        body = json.dumps({**values, "built": open("built").read()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
BUILD = """\
count:
  cmd.run:
    - name: date +%N > {{ cfg.project_root }}/built
"""
FILES = {"app.py": APPLICATION, "Procfile": "web: /usr/bin/python3 -u app.py\n", ".salt/build.sls": BUILD}


def test_environment_changes_as_a_release_without_a_gap(machine: Machine) -> None:
    settings = machine.init("enviable", healthcheck={"timeout": 10, "status": [200]})
    port = settings["http_port"]

    def seen() -> dict[str, str]:
        status, text = machine.page(port)
        assert status == 200, text
        return dict(json.loads(text))

    saved = machine.ok("mc_project.env_set", "enviable", "NUMBER=007")
    assert "nothing is deployed yet" in saved["comment"]
    tree = machine.work_tree("enviable", FILES)
    assert tree.push().status == 0
    first = seen()
    assert first["NUMBER"] == "007"
    before = machine.releases("enviable")[0]["release"]

    source = machine.folder / "secret"
    source.write_text(f"{SECRET}\n")
    argv = machine.argv("mc_project.env_set", "enviable", "PLAIN=yes", out="json")
    planned = machine.ok("mc_project.env_set", "enviable", "PLAIN=yes", test=True)
    assert "would start anew web" in planned["stages"]["activate"]["comment"]
    assert "PLAIN" not in seen()
    with asking(port) as quick, asking(port, "/slow", every=0.25, visitors=8) as slow:
        told = machine.call("mc_project.env_set", "enviable", key="SECRET_TEXT", from_file=str(source))
        assert told.status == 0, told.said
        assert seen() == {**first, "SECRET_TEXT": SECRET}, "the same build, the new value word for word"
        by_hand = subprocess.run(
            [*argv[:-1], "from_file=-"], input="PLAIN='two\nlines'\n", capture_output=True, text=True, check=False
        )
        assert by_hand.returncode == 0, by_hand.stderr
        assert seen() == {**first, "SECRET_TEXT": SECRET, "PLAIN": "two\nlines"}
        failed = machine.call("mc_project.env_set", "enviable", FATAL="now")
        assert failed.status != 0
        assert "FATAL is set" in failed.answer["comment"]
        assert "was taken back" in failed.answer["comment"]
        assert machine.refused("mc_project.env_get", "enviable", "FATAL")
        machine.ok("mc_project.rollback", "enviable")
        assert "PLAIN" not in seen()
        back = machine.ok("mc_project.rollback", "enviable", before)
        assert any("SECRET_TEXT is again as" in note for note in back["notes"])
        assert seen() == first
    assert quick.lost == []
    assert slow.lost == []
    assert tree.push(refs="HEAD:main").status == 0
    assert machine.ok("mc_project.env_get", "enviable", unmask=True).keys() == {"NUMBER"}
    machine.ok("mc_project.deploy_project", "enviable")
    assert "SECRET_TEXT" not in seen(), "the next deployment does not bring back what was rolled back"
    masked = machine.ok("mc_project.env_get", "enviable")
    assert masked == {"NUMBER": "**********"}
    machine.ok("mc_project.env_unset", "enviable", "NUMBER")
    assert "NUMBER" not in seen()
    assert "HÖRSE" not in told.said.upper()
    for path in secret_places(machine, "enviable"):
        assert "hörse" not in path.read_text(errors="replace"), path
        assert "h\\u00f6rse" not in path.read_text(errors="replace"), path


def secret_places(machine: Machine, name: str) -> list[Path]:
    """Every file that corpus keeps of a project, but for those from which processes get their environment."""
    own = machine.project(name) / ".corpus"
    kept = [path for path in own.rglob("*") if path.is_file() and path.parent.name != "processes"]
    kept += list((machine.project(name) / "releases/deployed").glob("*/*.json"))
    assert len(kept) > 10
    return kept


def test_what_cannot_be_in_an_environment_is_refused(machine: Machine) -> None:
    machine.init("strict", installer="static")
    for words, complaint in (
        (["PORT=1"], "PORT is given to processes by corpus itself"),
        (["CORPUS_RELEASE=x"], "by corpus itself"),
        (["from_file=/nowhere"], "/nowhere cannot be read"),
        ([], "There is nothing to set"),
    ):
        assert complaint in machine.refused("mc_project.env_set", "strict", *words), words
    big = machine.folder / "big"
    big.write_text("x" * 70000)
    assert "more than 64 KiB" in machine.refused("mc_project.env_set", "strict", key="BIG", from_file=str(big))
    big.write_text("1A=b\n")
    assert "cannot name an environment variable" in machine.refused("mc_project.env_set", "strict", from_file=str(big))
    assert "was not set by env_set" in machine.refused("mc_project.env_unset", "strict", "NEVER")
    big.write_text("x" * 10000)
    machine.ok("mc_project.set_configuration", "strict", required_env=["FLAG", "OTHER"])
    machine.ok("mc_project.env_set", "strict", "FLAG=True", key="BIG", from_file=str(big))
    assert machine.ok("mc_project.env_get", "strict", unmask=True) == {"FLAG": "True", "BIG": "x" * 10000}
    assert os.stat(machine.project("strict") / ".corpus/settings.json").st_mode & 0o777 == 0o600


def test_environment_of_a_developers_own_tree(machine: Machine) -> None:
    """In editable mode the processes start anew in the tree that is there; a failure brings back the old environment."""
    port = machine.init("own-tree", operation_mode="editable", healthcheck={"timeout": 10})["http_port"]
    project = machine.project("own-tree") / "project"
    for name, content in {**FILES, "built": "here"}.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    machine.ok("mc_project.deploy_project", "own-tree")
    told = machine.ok("mc_project.env_set", "own-tree", "NUMBER=7")
    assert told["changes"]["env"] == {"NUMBER": {"old": None, "new": "**********"}}
    assert json.loads(machine.page(port)[1])["NUMBER"] == "7"
    failed = machine.call("mc_project.env_set", "own-tree", FATAL="now")
    assert failed.status != 0
    assert "was taken back" in failed.answer["comment"]
    assert json.loads(machine.page(port)[1])["NUMBER"] == "7"
    assert (project / "app.py").read_text() == APPLICATION, "the tree is left alone"
    assert machine.ok("mc_project.env_get", "own-tree") == {"NUMBER": "**********"}
