"""Every deployment leaves a report, as text, JSON and a page; what happened over time has figures."""

import html.parser
import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.machine import Machine

SUITE = """\
import os, pathlib, sys
assert os.listdir(os.environ["DATA_ROOT"]) == [], "the data of what runs"
assert "DATABASE_URL" not in os.environ and os.environ["KIND"] == "test"
pathlib.Path(os.environ["DATA_ROOT"], "written").touch()
failing = "FAILING" in pathlib.Path("VERSION").read_text()
pathlib.Path("junit.xml").write_text(
    '<testsuites><testsuite name="s"><testcase classname="shop" name="test_one" time="0.5"/>'
    + ('<testcase classname="shop" name="test_two"><failure message="2 &lt; 1">left\\nright</failure></testcase>' if failing else "")
    + "</testsuite></testsuites>"
)
sys.exit(failing)
"""


class Page(html.parser.HTMLParser):
    """Reads a page, and sees that its elements are nested as they must."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.heads: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "action")]
        if tag in ("h1", "h2"):
            self.heads.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.heads[-1] += data


def report(machine: Machine, name: str, deployment: str | None = None) -> dict[str, Any]:
    return dict(machine.ok("mc_project.report", name, *([deployment] if deployment else []), format="json"))


def page(machine: Machine, name: str) -> str:
    """The page, as a person saves it who redirects what salt-call prints."""
    ended = machine.call("mc_project.report", name, out="mc_project", format="html")
    assert ended.status == 0, ended.said
    assert ended.output.startswith("<!doctype html>")
    return ended.output


def test_reports_tell_what_a_deployment_brought(machine: Machine, tmp_path: Path) -> None:
    machine.init(
        "told",
        installer="generic",
        document_root="public",
        env={"DATABASE_URL": "postgres://told:very-secret-5581@db/told"},
        tests={"command": "python3 suite.py", "junit": "junit*.xml", "env": {"KIND": "test"}},
    )
    (machine.project("told") / "data/precious").write_text("x")
    assert "was never deployed: there is no report yet" in machine.refused("mc_project.report", "told")
    assert machine.ok("mc_project.stats", "told")["projects"]["told"]["deployments"] == 0

    tree = machine.work_tree("told", {"suite.py": SUITE, "VERSION": "one", "public/index.html": "one", "gone": "x"})
    dist = tree.folder / "venv/lib/python3.11/site-packages/Flask-3.1.3.dist-info"
    tree.write({str(dist.relative_to(tree.folder) / "METADATA"): ""})
    tree.commit()
    first = tree.push()
    assert first.status == 0, first.said
    assert "first deployment: 2 commits, 4 files; packages: 1 installed; tests: 1 passed" in first.errors
    assert (machine.project("told") / "data/written").exists() is False
    assert (machine.project("told") / "project/junit.xml").exists() is False

    shutil.rmtree(dist)
    tree.git("rm", "--quiet", "-r", "gone", "venv")
    tree.write({"venv/lib/python3.11/site-packages/flask-3.1.4.dist-info/METADATA": "", "VERSION": "two\nlines\n"})
    evil = "<script>alert(1)</script> very-secret-5581"
    tree.commit(message=evil)
    second = tree.push()
    assert second.status == 0, second.said
    assert "1 commit, 2 files changed (+2 -2); packages: flask 3.1.3 → 3.1.4; tests: 1 passed" in second.errors
    told = report(machine, "told")
    assert (told["schema"], told["kind"], told["succeeded"]) == ("corpus.report/1", "deploy", True)
    assert [commit["subject"] for commit in told["commits"]["list"]] == ["<script>alert(1)</script> **********"]
    assert {(file["path"], file["change"]) for file in told["files"]["list"]} == {
        ("VERSION", "changed"),
        ("gone", "removed"),
    }
    assert told["packages"]["list"] == [{"kind": "python", "name": "flask", "old": "3.1.3", "new": "3.1.4"}]
    stages = [stage["stage"] for stage in told["stages"]]
    assert stages.index("build") < stages.index("tests") < stages.index("activate") < stages.index("switch")
    began = [stage["began"] for stage in told["stages"] if stage["result"] is not None]
    assert began == sorted(began)
    written = page(machine, "told")
    seen = Page(written)
    assert "script" not in seen.tags
    assert seen.links == []
    assert "&lt;script&gt;alert(1)" in written
    assert "5581" not in written + json.dumps(told)
    assert "url(" not in written

    tree.commit({"VERSION": "FAILING"}, message="Break it")
    refused = tree.push()
    assert refused.status != 0
    assert "FAILED tests" in refused.errors
    assert "1 failed, 1 passed: test_two: 2 < 1" in refused.errors
    assert "mc_project.report told 2" in refused.errors
    failing = report(machine, "told")
    assert failing["succeeded"] is False
    assert failing["tests"]["failures"] == [
        {"name": "test_two", "where": "shop", "kind": "failed", "message": "2 < 1", "excerpt": "left\nright"}
    ]
    assert failing["commits"]["list"][0]["subject"] == "Break it"
    heads = Page(page(machine, "told")).heads
    assert heads[:4] == ["told", "✗ Stage tests failed", "✗ Tests: 1 failed, 1 passed", "Time line"]
    text = machine.call("mc_project.report", "told", out="mc_project").output
    assert text.index("FAILED: tests") < text.index("Stages")

    machine.ok("mc_project.set_configuration", "told", tests={"required": False})
    tolerated = tree.push()
    assert tolerated.status == 0, tolerated.said
    assert "note: The tests failed (1 failed, 1 passed), and are not required." in tolerated.errors
    machine.ok("mc_project.rollback", "told")
    back = report(machine, "told")
    assert (back["kind"], back["commits"]["left"], back["summary"].split(",")[0]) == ("rollback", 1, "1 commit back")
    assert [entry["path"] for entry in back["files"]["list"]] == ["VERSION"]
    assert Page(page(machine, "told")).heads[0] == "told"

    target = tmp_path / "report.html"
    answer = machine.ok("mc_project.report", "told", told["deployment"], format="html", to=str(target))
    assert str(target) in answer
    assert (target.read_text() + "\n", stat.S_IMODE(target.stat().st_mode)) == (written, 0o600)
    assert "is text, json, html" in machine.refused("mc_project.report", "told", format="pdf")
    assert "absolute path" in machine.refused("mc_project.report", "told", to="report.html")

    figures = machine.ok("mc_project.stats", "told")["projects"]["told"]
    assert (figures["deployments"], figures["rollbacks"], figures["refused"]) == (3, 1, 1)
    assert figures["change_failure_rate"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["time_to_restore_seconds"] >= 0
    assert figures["lead_time_seconds"] >= 0
    table = machine.call("mc_project.stats", out="mc_project").output
    assert "change failure rate   33% had to be taken back" in table
    assert "build" in table


def test_a_report_names_the_stage_that_failed_and_the_page_shows_in_a_browser(machine: Machine, tmp_path: Path) -> None:
    machine.init("broken", installer="generic")
    tree = machine.work_tree("broken", {"which": "one"})
    assert tree.push().status == 0
    tree.commit({".salt/build.sls": "say:\n  mc_project.command:\n    - name: ls /what-the-build-said\n"})
    assert tree.push().status != 0
    told = report(machine, "broken")
    assert [stage["stage"] for stage in told["stages"] if stage["result"] is False] == ["build"]
    build = next(stage for stage in told["stages"] if stage["stage"] == "build")
    assert any("what-the-build-said" in line for line in build["excerpt"])
    assert build["states"][0]["result"] is False
    assert told["release"] == told["previous"]
    target = tmp_path / "report.html"
    target.write_text(page(machine, "broken"))
    chromium = shutil.which("chromium")
    assert chromium is not None
    shown = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--dump-dom",
            "--enable-logging=stderr",
            f"file://{target}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Stage build failed" in shown.stdout
    assert "CONSOLE" not in shown.stderr
