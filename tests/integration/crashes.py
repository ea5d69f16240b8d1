"""What crash tests share: a driver that dies where it is told to, and the shop that it deploys.

The moments are not listed: a run that nobody kills tells how many lines its journal has and what it touches
between them, and the tests go through those. ``CORPUS_CRASH_STRIDE=1`` tries every single touch.
"""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from corpus.project import workflow

from tests.machine import Machine, WorkTree, free_port, page

STRIDE = int(os.environ.get("CORPUS_CRASH_STRIDE", "9"))
DRIVER = Path(__file__).with_name("crashing.py")
HALVES = (".making-*", ".removed-*", ".restoring", ".plan-*", ".current.*")

APP = '''\
"""Answers its version, as its files say now, and the release that it was started as."""
import http.server
import os


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{open('VERSION').read()} {os.environ['CORPUS_RELEASE']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
'''
ROLLBACK_SLS = """\
{{ cfg.name }}-told-the-database:
  file.append:
    - name: {{ cfg.data_root }}/rollbacks
    - text: {{ cfg.deployment.id }}
"""
FILES = {
    **{f".salt/{name}.sls": "" for name in (*workflow.SLS, "top", "standalone")},
    ".salt/rollback.sls": ROLLBACK_SLS,
    ".salt/PILLAR.sample": "",
    "app.py": APP,
    "Procfile": "web: /usr/bin/python3 app.py\n",
}


class Driver:
    """The program that dies for us, see ``crashing.py``.

    :param machine: whose minion it is
    :param argv: what runs it
    """

    def __init__(self, machine: Machine, argv: tuple[str, ...] = (sys.executable,), **popen: Any) -> None:
        self._process = subprocess.Popen(
            [*argv, str(DRIVER), str(machine.folder / "etc")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(machine.folder / "driver.log").open("w"),
            text=True,
            **popen,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the driver died"
        return dict(json.loads(line))

    def do(self, call: str, *arguments: str, die: Any = None, views: bool = True, **keywords: Any) -> dict[str, Any]:
        """Call a function, and die where ``die`` says."""
        job = {"call": call, "arguments": arguments, "keywords": keywords, "die": die, "views": views}
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        told = self._answer()
        assert bool(told["signal"]) == bool(die), told
        return told

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@dataclass
class Shop:
    """A project with two good versions in its repository, one that fails at its end, and a process that serves."""

    machine: Machine
    driver: Driver
    name: str
    port: int
    tree: WorkTree
    user: str = "root"
    revisions: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.machine.project(self.name)

    @property
    def own(self) -> Path:
        return self.folder / ".corpus"

    def store(self, version: str, files: dict[str, str] | None = None) -> None:
        """Have a version's revision in the repository without deploying it."""
        self.revisions[version] = self.tree.commit({"VERSION": version, **(files or {})}, version)
        safe = ["-c", "safe.directory=*"]
        words = [
            *safe,
            "-C",
            str(self.tree.remote),
            "fetch",
            "--quiet",
            str(self.tree.folder),
            f"HEAD:refs/heads/{version}",
        ]
        subprocess.run(["git", *words], check=True, env={**os.environ, "GIT_CONFIG_PARAMETERS": "'safe.directory=*'"})
        subprocess.run(["chown", "-R", self.user, str(self.tree.remote)], check=True)

    def deploy(self, version: str, **keywords: Any) -> dict[str, Any]:
        return self.driver.do("mc_project.deploy_project", self.name, revision=self.revisions[version], **keywords)

    def next_call(self, **keywords: Any) -> dict[str, Any]:
        """The cheapest call that takes the lock."""
        return self.driver.do("mc_project.post_install", self.name, **keywords)

    def page(self) -> tuple[int, str]:
        return page(self.port)

    def running(self) -> str:
        return (self.folder / "releases/deployed/current").readlink().name

    def serving(self) -> str:
        """The version that is served."""
        status, body = self.page()
        assert status == 200, body
        return body.split()[0]

    def other(self) -> str:
        return "two" if self.serving() == "one" else "one"

    def record(self, deployment: str) -> dict[str, Any]:
        return dict(json.loads((self.own / "history" / f"{deployment}.json").read_text()))

    def died(self) -> dict[str, Any]:
        """The first line of the journal that was left behind; empty when there is none."""
        try:
            return dict(json.loads((self.own / "journal").read_text().splitlines()[0]))
        except (FileNotFoundError, IndexError, ValueError):
            return {}

    def committed(self) -> bool:
        """Whether the journal that was left behind has a whole line that says so."""
        lines = (self.own / "journal").read_text().splitlines() if (self.own / "journal").exists() else []
        return any(line.startswith('{"step": "commit"') and line.endswith("}") for line in lines)

    def complaints(self, version: str, deployment: str = "") -> list[str]:
        """What is not as it should be when ``version`` is what runs; empty when all is well.

        :param deployment: that died, whose programs must be gone
        """
        found = []
        release = self.running()
        status, body = self.page()
        if (status, body) != (200, f"{version} {release}"):
            found.append(f"{version} {release} should be served, not {status} {body}")
        if (self.folder / "project/VERSION").read_text() != version:
            found.append("project/ is another version's")
        manifest = json.loads((self.folder / "releases/deployed" / release / "manifest.json").read_text())
        if self.branch() != manifest["revision"] or manifest["revision"] != self.revisions[version]:
            found.append(f"the branch does not name what runs: {self.branch()} {manifest['revision']}")
        if (self.own / "journal").exists():
            found.append("the journal is still there")
        groups = {path.stem.rpartition("@")[0] for path in self.conf_d.glob(f"{self.name}.*.conf")}
        if groups != {f"{self.name}.{release}"}:
            found.append(f"supervisor's groups: {groups}")
        alive = [entry for entry in environments() if entry.get("CORPUS_PROJECT") == self.name and self.mine(entry)]
        if [entry.get("CORPUS_RELEASE") for entry in alive] != [release]:
            found.append(f"processes: {[entry.get('CORPUS_RELEASE') for entry in alive]}")
        if deployment and any(entry.get("CORPUS_SESSION") == deployment for entry in environments()):
            found.append("programs of the dead deployment still run")
        halves = [str(path.relative_to(self.folder)) for half in HALVES for path in self.folder.rglob(half)]
        halves += [path.name for path in (self.own / "sls").glob(f"{deployment or '.removed-'}*")]
        if halves:
            found.append(f"halves: {halves}")
        with (self.own / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append("the lock is held")
        return found

    def branch(self) -> str:
        return (self.tree.remote / "refs/heads/main").read_text().strip()

    def branch_is(self, version: str) -> bool:
        return self.branch() == self.revisions[version]

    def mine(self, environment: dict[str, str]) -> bool:
        return environment.get("HOME", "").startswith(str(self.folder))

    @property
    def conf_d(self) -> Path:
        return self.machine.projects / ".corpus/supervisor/conf.d"

    def survives(self, died: dict[str, Any], before: str, after: str, closing: bool = False) -> list[str]:
        """Make the next call after a death and return what is not well then.

        :param closing: the maintenance page may be shown while it was dead
        """
        begun, committed = self.died(), self.committed()
        expected = after if committed else before
        found = [] if self.page()[0] in ((200, 503) if closing else (200,)) else [f"while it was dead: {self.page()}"]
        told = self.next_call()
        if told.get("error") or not told["answer"]["result"]:
            return [*found, f"the next call: {told.get('error') or told['answer']['comment']}"]
        found += self.complaints(expected, begun.get("deployment", ""))
        if begun:
            record = self.record(begun["deployment"])
            if record["result"] is not committed or "Interrupted" not in record["comment"]:
                found.append(f"history: {record['result']} {record['comment']}")
            failed = self.folder / "releases/failed" / begun["new"]
            if begun["kind"] == "deploy" and not committed and "Repairing" not in (failed / "log").read_text():
                found.append("no log of the failed release")
        return found


def environments() -> list[dict[str, str]]:
    """The environments of all processes that we may look at."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(process.environ())
        except (psutil.Error, OSError):
            continue
    return found


def shop_on(
    machine: Machine, driver: Driver, name: str, user: str = "root", deploy: bool = True, views: bool = True
) -> Shop:
    """Make the project and deploy its first version."""
    given = {"http_address": "127.0.0.1", "http_port": free_port(), "keep_failed": 100}
    if user == "root":
        given["user"] = user
    told = driver.do("mc_project.init_project", name, **given)
    assert told["answer"]["result"], told
    shop = Shop(machine, driver, name, given["http_port"], machine.work_tree(name, FILES), user)
    shop.store("one")
    shop.store("two")
    shop.store("bad", {".salt/post_install.sls": "no:\n  test.fail_without_changes\n"})
    shop.tree.commit({".salt/post_install.sls": ""})
    if deploy:
        told = shop.deploy("one", views=views)
        assert told["answer"]["result"], told["answer"]["comment"]
        assert shop.complaints("one") == []
    return shop


def moments(told: dict[str, Any], since: str = "begin") -> list[dict[str, Any]]:
    """Every place to die in a run like this one: after each line of the journal, and before it when something was
    touched since the line before.

    :param since: the first line that counts
    """
    records, touched = told["records"], {int(touch.split()[0]) for touch in told["touches"]}
    found = []
    for number in range(records.index(since), len(records)):
        if number in touched:
            found.append({"record": number, "moment": "before"})
        found.append({"record": number, "moment": "after"})
    return found


def some(touches: list[str], stride: int = STRIDE) -> list[dict[str, Any]]:
    return [{"touch": number} for number in range(0, len(touches), stride)]
