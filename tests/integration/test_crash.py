"""Killed anywhere, a deployment leaves nothing that the next call does not repair, and what served serves again.

The moments are not listed here: a run that nobody kills tells how many lines its journal has and what it touches
between them, and the tests go through those. ``CORPUS_CRASH_STRIDE=1`` tries every single touch.
"""

import contextlib
import fcntl
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from corpus.project import workflow

from tests.asking import asking
from tests.machine import Machine, WorkTree, deadline, free_port, page
from tests.servers import postgresql

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


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[Driver]:
    made = Driver(machine)
    yield made
    made.close()
    machine.stop()
    for process in psutil.process_iter():  # of a supervisord that a failed test killed
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME", "").startswith(f"{machine.projects}/"):
                process.kill()


@pytest.fixture(scope="module")
def shop(machine: Machine, driver: Driver) -> Shop:
    """A project that many cases kill; each leaves it well, or says so and fails."""
    return shop_on(machine, driver, "shop")


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


def test_deployment_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    told = shop.deploy(shop.other())
    assert {"begin", "stage archive", "exchange project", "serve", "commit"} <= set(told["records"])
    found = {}
    for moment in moments(told):
        before, after = shop.serving(), shop.other()
        died = shop.deploy(after, die=moment)
        found[f"{moment} {told['records'][moment['record']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_deployment_killed_between_the_lines(shop: Shop) -> None:
    touches = shop.deploy(shop.other())["touches"]
    found = {}
    for moment in some(touches):
        before, after = shop.serving(), shop.other()
        died = shop.deploy(after, die=moment)
        found[f"{moment} {touches[moment['touch']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


@pytest.mark.parametrize("step", ["begin", "exchange project", "commit"])
def test_deployment_killed_while_it_writes_a_line(shop: Shop, step: str) -> None:
    before, after = shop.serving(), shop.other()
    died = shop.deploy(after, die={"record": step, "moment": "torn"})
    assert shop.survives(died, before, after) == []


def test_archive_killed_while_it_copies(shop: Shop) -> None:
    (shop.folder / "data/big").write_bytes(os.urandom(300_000))
    before, after = shop.serving(), shop.other()
    died = shop.deploy(after, die={"appears": f"{shop.folder}/archives/.making-*/data/.big.*", "slow": True})
    assert copying(shop), "rsync must outlive who started it, or this test shows nothing"
    assert shop.survives(died, before, after) == []
    assert not copying(shop)
    (shop.folder / "data/big").unlink()


def copying(shop: Shop) -> bool:
    """Whether an rsync writes into the project."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        info = process.info
        if info["name"] == "rsync" and info["status"] != psutil.STATUS_ZOMBIE:
            found += [word for word in info["cmdline"] or () if str(shop.folder) in word]
    return bool(found)


HANG_SLS = """\
hang:
  cmd.run:
    - name: setsid sleep 297 & touch {{ cfg.data_root }}/hangs; sleep 298
"""


@pytest.fixture
def hangs(shop: Shop) -> Iterator[Path]:
    """Present while the version ``hang`` hangs in its build."""
    if "hang" not in shop.revisions:
        shop.store("hang", {".salt/build.sls": HANG_SLS})
        shop.tree.commit({".salt/build.sls": ""})
    path = shop.folder / "data/hangs"
    yield path
    path.unlink(missing_ok=True)


def test_commands_of_a_dead_deployment_are_gone(shop: Shop, hangs: Path) -> None:
    before = shop.serving()
    died = shop.deploy("hang", die={"appears": str(hangs)})
    deployment = shop.died()["deployment"]
    assert sum(entry.get("CORPUS_SESSION") == deployment for entry in environments()) >= 2
    assert shop.survives(died, before, "hang") == []


def test_failing_deployment_killed_in_its_rollback(shop: Shop) -> None:
    before = shop.serving()
    told = shop.deploy("bad")
    assert told["answer"]["result"] is False
    assert shop.complaints(before) == []
    assert (shop.folder / "releases/failed" / told["answer"]["deployment"] / "project/app.py").exists()
    late = told["records"].index("rollback")
    touches = [number for number, touch in enumerate(told["touches"]) if int(touch.split()[0]) > late]
    found = {}
    for moment in [*moments(told, "rollback"), *({"touch": number} for number in touches[::STRIDE])]:
        reloads = (shop.folder / "data/rollbacks").read_text().count("\n")
        died = shop.deploy("bad", die=moment)
        found[str(moment)] = shop.survives(died, before, "bad")
        if (shop.folder / "data/rollbacks").read_text().count("\n") == reloads:
            found[str(moment)].append("the rollback sls was not run")
    assert not {moment: words for moment, words in found.items() if words}


def test_rollback_on_demand_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    told = shop.driver.do("mc_project.rollback", shop.name)
    assert told["answer"]["result"], told["answer"]["comment"]
    found = {}
    for moment in moments(told):
        before, after = shop.serving(), shop.other()
        died = shop.driver.do("mc_project.rollback", shop.name, die=moment)
        found[f"{moment} {told['records'][moment['record']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_deployment_with_services_stopped_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    """The maintenance page goes, and the tree comes back from the archive where it was moved to."""

    def deploy(version: str, **keywords: Any) -> dict[str, Any]:
        return shop.deploy(version, services_during_build="stop", upgrade_maintenance=True, **keywords)

    told = deploy(shop.other())
    assert {"stand still", "exchange project", "start", "commit"} <= set(told["records"])
    found = {}
    for number in range(told["records"].index("stage archive"), len(told["records"])):
        before, after = shop.serving(), shop.other()
        died = deploy(after, die={"record": number, "moment": "after"})
        found[f"{number} {told['records'][number]}"] = shop.survives(died, before, after, closing=True)
    assert not {moment: words for moment, words in found.items() if words}


def test_change_of_environment_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    """The version stays; the saved environment is that of the release that runs, whichever that is."""

    def change(value: str, **keywords: Any) -> dict[str, Any]:
        return shop.driver.do("mc_project.env_set", shop.name, COLOUR=value, **keywords)

    told = change("0")
    assert {"begin", "settings", "stage copy", "exchange project", "commit"} <= set(told["records"])
    assert told["answer"]["result"], told["answer"]["comment"]
    found, now = {}, "0"
    for number, record in enumerate(told["records"]):
        version, wanted = shop.serving(), str(number + 1)
        died = change(wanted, die={"record": number, "moment": "after"})
        now = wanted if shop.committed() else now
        complaints = shop.survives(died, version, version)
        saved = shop.driver.do("mc_project.env_get", shop.name, "COLOUR", unmask=True)["answer"]
        specified = json.loads((shop.own / "processes" / f"{shop.running()}.json").read_text())
        if (saved, specified["env"]["COLOUR"]) != (now, now):
            complaints.append(f"{saved} is saved, processes have {specified['env']['COLOUR']}, and it should be {now}")
        found[f"{number} {record}"] = complaints
    assert not {moment: words for moment, words in found.items() if words}
    told = change("without", views=False)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(shop.serving()) == [], "where no private view is possible, too"


def test_killed_around_the_making_of_a_database(machine: Machine, driver: Driver) -> None:
    """Whatever of role, database and registry is there already, the next deployment makes the rest, and it is ours."""
    ledger = shop_on(machine, driver, f"ledger{os.getpid()}")
    pattern = r" run psql| replace .*registry"
    with postgresql() as admin:

        def wish(number: int) -> None:
            name = f"ledger{os.getpid()}_{number}"
            wanted = {"type": "postgresql", "admin": admin, "name": name, "user": name}
            told = driver.do("mc_project.set_configuration", ledger.name, databases=[wanted])
            assert told["answer"]["result"], told

        wish(0)
        told = ledger.deploy("two")
        assert told["answer"]["result"], told
        steps = sum(bool(re.search(pattern, touch)) for touch in told["touches"])
        assert steps > 8, told["touches"]
        for number in range(steps):
            wish(number + 1)
            before, after = ledger.serving(), ledger.other()
            died = ledger.deploy(after, die={"touch": pattern, "spare": number})
            assert ledger.survives(died, before, after) == [], number
            told = ledger.deploy(after)
            assert told["answer"]["result"], (number, told["answer"]["comment"])
            assert ledger.complaints(after) == [], number
            told = driver.do("mc_project.get_configuration", ledger.name, unmask=True)
            url = told["answer"]["env"]["DATABASE_URL"]
            made = subprocess.run(
                ["psql", "-XAtqw", url, "-c", "CREATE TABLE one (n INT); SELECT current_database(), current_user"],
                capture_output=True,
                text=True,
                check=False,
            )
            name = f"ledger{os.getpid()}_{number + 1}"
            assert made.stdout.strip() == f"{name}|{name}", (number, made.stderr)
        told = driver.do("mc_project.destroy_project", ledger.name, confirm=ledger.name)
        assert told["answer"]["result"], told
        left = [
            "psql",
            "-XAtqw",
            "-d",
            "postgres",
            "-c",
            "SELECT datname FROM pg_database WHERE datname LIKE 'ledger%'",
        ]
        host, port = re.findall(r"(?:host|port)=([^&]+)", admin)
        as_admin = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", f"PGHOST={host}"]
        listed = subprocess.run([*as_admin, f"PGPORT={port}", *left], capture_output=True, text=True, check=True)
        assert listed.stdout == ""


def test_killed_around_what_is_registered_with_cron(machine: Machine, driver: Driver) -> None:
    """Committed, a version's commands by the clock are there after the next call; those of a version before are not."""
    clock = shop_on(machine, driver, f"clock{os.getpid()}")
    places = [Path(f"/etc/{folder}/corpus-{clock.name}") for folder in ("cron.d", "logrotate.d")]
    for spare in range(2):
        jobs = {"cron": [{"schedule": f"{spare} 4 1 1 *", "command": "true"}], "logrotate": [f"log{spare}/*.log"]}
        for wanted in (jobs, {"cron": None, "logrotate": None}):
            told = driver.do("mc_project.set_configuration", clock.name, **wanted)
            assert told["answer"]["result"], told
            before, after = clock.serving(), clock.other()
            died = clock.deploy(after, die={"touch": f" (replace|unlink) .*corpus-{clock.name}", "spare": spare})
            assert clock.committed()
            assert clock.survives(died, before, after) == []
            assert [path.exists() for path in places] == [wanted is jobs] * 2, (wanted, spare)
            if wanted is jobs:
                assert f"{spare} 4 1 1 * root " in places[0].read_text()
    told = driver.do("mc_project.destroy_project", clock.name, confirm=clock.name)
    assert told["answer"]["result"], told


@pytest.mark.parametrize("step", ["serve", "commit"])
def test_repair_killed_is_repaired_by_the_next_call(shop: Shop, step: str) -> None:
    after = shop.other()
    shop.deploy(after, die={"record": step, "moment": "after"})
    touches = shop.next_call()["touches"]
    last = next(number for number, touch in enumerate(touches) if "unlink journal" in touch)
    found = {}
    for number in range(0, last + 1, STRIDE):
        before, after = shop.serving(), shop.other()
        shop.deploy(after, die={"record": step, "moment": "after"})
        died = shop.next_call(die={"touch": number})
        # At the very end the repair may be over already: a run can touch the machine once less than the one that was counted.
        over = after if step == "commit" and not shop.died() else before
        found[f"{number} {touches[number]}"] = shop.survives(died, over, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_status_tells_and_a_deployment_repairs_on_its_way(shop: Shop) -> None:
    before, after = shop.serving(), shop.other()
    shop.deploy(after, die={"record": "serve", "moment": "after"})
    assert shop.driver.do("mc_project.status", shop.name)["answer"]["interrupted"] is True
    told = shop.deploy(before)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(before) == []
    assert shop.driver.do("mc_project.status", shop.name)["answer"]["interrupted"] is False


def test_first_deployment_killed(machine: Machine, driver: Driver) -> None:
    shop = shop_on(machine, driver, "first", deploy=False)
    for moment in ({"record": "stage", "moment": "before"}, {"record": "serve", "moment": "after"}):
        shop.deploy("one", die=moment)
        assert shop.next_call().get("error") is None
        assert not (shop.folder / "releases/deployed/current").exists()
        assert not (shop.folder / "project/VERSION").exists()
        assert shop.page()[0] == 0
    shop.deploy("one", die={"record": "commit", "moment": "after"})
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints("one") == []


# pushes: git waits for the hook, and refuses when it dies


def killed_push(shop: Shop, die: dict[str, Any], *words: str, tree: WorkTree | None = None) -> None:
    """Push, with a hook that dies."""
    tree = tree or shop.tree
    job = shop.machine.folder / "push.json"
    job.write_text(json.dumps({"call": "mc_project.receive", "arguments": [shop.name, tree.repository], "die": die}))
    hook = tree.remote / "hooks/pre-receive"
    whole = hook.read_text()
    mortal = shlex.join([sys.executable, str(DRIVER), str(shop.machine.folder / "etc"), str(job)])
    hook.write_text(whole[: whole.rindex("} | ")] + "} | " + mortal + "\n")
    try:
        pushed = tree.push(*words)
    finally:
        hook.write_text(whole)
    assert pushed.status != 0, pushed.said
    assert shop.died(), pushed.said


@pytest.mark.parametrize("known", [False, True], ids=["new-objects", "known-objects"])
def test_push_killed_after_its_commit_was_never_accepted(shop: Shop, known: bool) -> None:
    before, after = shop.serving(), shop.other()
    revision = shop.tree.commit({"VERSION": "three"})
    shop.revisions["three"] = revision
    die: dict[str, Any] = {"record": "commit", "moment": "after"}
    if known:  # and later: the new release is named current already
        shop.tree.git(
            "push", "--quiet", str(shop.tree.remote), f"{shop.revisions[after]}:refs/heads/{after}", check=False
        )
        shop.tree.git("checkout", "--quiet", "-B", "main", shop.revisions[after])
        die = {"touch": "stopProcessGroup"}
    try:
        killed_push(shop, die, "--force")
    finally:
        shop.tree.git("checkout", "--quiet", "-B", "main", revision)
    assert shop.branch_is(before)
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(before) == []


def test_pillar_push_killed_after_its_commit_was_never_accepted(shop: Shop) -> None:
    before = shop.serving()
    pillar = shop.machine.pillar_tree(shop.name, {"init.sls": "makina-projects.shop:\n  env:\n    COLOUR: red\n"})
    killed_push(shop, {"record": "commit", "moment": "after"}, tree=pillar)
    assert (shop.folder / "pillar/init.sls").exists()
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(before) == []
    assert pillar.branch() == ""
    assert not (shop.folder / "pillar/init.sls").exists()
    assert not any(entry.get("COLOUR") == "red" and shop.mine(entry) for entry in environments())


@pytest.mark.parametrize("who", ["push", "receive-pack-asked", "receive-pack"])
def test_whoever_pushed_is_gone(shop: Shop, hangs: Path, who: str) -> None:
    """Without the pusher git may still accept; without its receiving end nothing may stay deployed."""
    before = shop.serving()
    shop.revisions[who] = shop.tree.commit({".salt/build.sls": WAIT_SLS, "VERSION": who})
    push = subprocess.Popen(
        ["git", "push", "--force", str(shop.tree.remote), "HEAD:main"],
        cwd=shop.tree.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in deadline(30):
        if hangs.exists():
            break
    if who == "push":
        push.kill()
    else:
        for process in psutil.Process(push.pid).children(recursive=True):
            if "receive-pack" in " ".join(process.cmdline()[:2]):
                process.send_signal(signal.SIGKILL if who == "receive-pack" else signal.SIGTERM)
    push.wait()
    hangs.with_name("go").touch()
    for _ in deadline(30):
        if not (shop.own / "journal").exists() and shop.branch_is(shop.serving()):
            break
    hangs.with_name("go").unlink()
    shop.tree.commit({".salt/build.sls": ""})
    if who == "push":
        assert shop.complaints(shop.serving()) == []
    else:
        assert shop.complaints(before) == []
        assert "is gone" in newest(shop)["comment"]


def test_push_whose_deployment_is_stopped_before_it_begins_is_not_accepted(shop: Shop) -> None:
    """Salt's commands end with status 0 when they are asked to stop while they start."""
    before = shop.serving()
    shop.tree.commit({"VERSION": "never"})
    push = subprocess.Popen(
        ["git", "push", "--force", str(shop.tree.remote), "HEAD:main"], cwd=shop.tree.folder, stderr=subprocess.DEVNULL
    )
    for _ in deadline(30, 0.005):
        salt = [process for process in psutil.Process(push.pid).children(recursive=True) if _catches_term(process)]
        if salt:
            break
    salt[0].terminate()
    assert push.wait(30) != 0
    assert shop.complaints(before) == []


def _catches_term(process: psutil.Process) -> bool:
    """Whether it is a salt-call that has a handler for SIGTERM already."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        return "salt-call" in " ".join(process.cmdline()) and bool(caught >> (signal.SIGTERM - 1) & 1)
    except (psutil.Error, OSError):
        return False


def test_nobody_who_asks_meets_a_gap(shop: Shop) -> None:
    with asking(shop.port, every=0.005, visitors=2) as answers:
        shop.deploy(shop.other())
        shop.deploy("bad")
        shop.driver.do("mc_project.rollback", shop.name)
        shop.deploy(shop.other(), die={"record": "serve", "moment": "after"})
        shop.next_call()
    assert len(answers) > 100
    assert answers.lost == []


WAIT_SLS = """\
wait:
  cmd.run:
    - name: touch {{ cfg.data_root }}/hangs; while ! test -e {{ cfg.data_root }}/go; do sleep 0.1; done
"""


def newest(shop: Shop) -> dict[str, Any]:
    return shop.record(max((shop.own / "history").glob("*.json"), key=lambda path: path.stat().st_mtime).stem)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_deployment_that_is_asked_to_stop_rolls_back(shop: Shop, hangs: Path, number: signal.Signals) -> None:
    before = shop.serving()
    called = shop.machine.begin("mc_project.deploy_project", shop.name, revision=shop.revisions["hang"])
    for _ in deadline(30):
        if hangs.exists():
            break
    called.send_signal(number)
    called.send_signal(number)  # impatience changes nothing
    said = called.communicate(timeout=60)
    assert called.returncode == 1, said
    assert shop.complaints(before) == []
    assert number.name in newest(shop)["comment"]


# a machine that was restarted


def power_cut(shop: Shop) -> None:
    """Kill everything that runs on the machine, at once."""
    nginx = int((shop.machine.projects / ".corpus/front/nginx.pid").read_text())
    for _ in deadline(10):  # nginx may be about to make workers
        doomed = [
            process for process in psutil.process_iter(["name", "cmdline", "status"]) if _on(shop, process, nginx)
        ]
        if not doomed:
            break
        for process in sorted(doomed, key=lambda one: "supervisord" not in " ".join(one.info["cmdline"])):
            process.kill()
    assert shop.page()[0] == 0


def _on(shop: Shop, process: psutil.Process, nginx: int) -> bool:
    """Whether a process belongs to the supervisor, the front or the project."""
    info = process.info
    if info["status"] == psutil.STATUS_ZOMBIE or not info["cmdline"]:
        return False
    try:
        if info["name"] == "nginx":
            return os.getpgid(process.pid) == nginx
        words = " ".join(info["cmdline"])
        return shop.mine(process.environ()) or ("supervisord" in words and str(shop.machine.folder) in words)
    except (psutil.Error, OSError):
        return False


def test_after_a_power_cut_status_tells_and_one_call_serves_again(shop: Shop) -> None:
    before = shop.serving()
    power_cut(shop)
    told = shop.driver.do("mc_project.status", shop.name)["answer"]
    assert told["processes"]["web.1"]["state"] == "MISSING"
    assert told["url"] is None
    told = shop.driver.do("mc_project.activate", shop.name)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(before) == []


def test_after_a_power_cut_a_deployment_serves(shop: Shop) -> None:
    after = shop.other()
    power_cut(shop)
    told = shop.deploy(after)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(after) == []


def test_after_a_power_cut_a_failing_deployment_brings_back_what_ran(shop: Shop) -> None:
    before = shop.serving()
    power_cut(shop)
    assert shop.deploy("bad")["answer"]["result"] is False
    assert shop.complaints(before) == []


def test_after_a_power_cut_a_rollback_serves(shop: Shop) -> None:
    after = shop.other()
    assert shop.deploy(after)["answer"]["result"]
    before = shop.other()
    assert shop.deploy(before)["answer"]["result"]
    power_cut(shop)
    assert shop.driver.do("mc_project.rollback", shop.name)["answer"]["result"]
    assert shop.complaints(after) == []


@pytest.mark.parametrize("step", ["start", "serve", "commit"])
def test_power_cut_in_a_deployment(shop: Shop, step: str) -> None:
    before, after = shop.serving(), shop.other()
    shop.deploy(after, die={"record": step, "moment": "after"})
    power_cut(shop)
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(after if step == "commit" else before) == []


def test_supervisor_alone_killed(shop: Shop) -> None:
    """Its orphans hold the ports; they make room for their successors."""
    after = shop.other()
    pid = int((shop.machine.projects / ".corpus/supervisor/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    told = shop.deploy(after)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(after) == []


# who is not root


@pytest.fixture(scope="module")
def nobody() -> Iterator[Machine]:
    """A machine of somebody who is not root."""
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        made = Machine(Path(folder) / "m")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def their_driver(nobody: Machine) -> Iterator[Driver]:
    user = pwd.getpwnam("nobody")
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(nobody.folder)], check=True)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
        "HOME": str(nobody.folder),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LANG": "C.UTF-8",
    }
    made = Driver(nobody, (open_python(),), user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment)
    yield made
    made.close()


def open_python() -> str:
    """A Python of our version that others may run: ours may lie in root's home."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system):
        if subprocess.run(["sudo", "-u", "nobody", python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    raise AssertionError(f"nobody may run {sys.executable}, and there is no {system}")


@pytest.mark.parametrize("views", [True, False], ids=["views", "no-views"])
def test_without_root(nobody: Machine, their_driver: Driver, views: bool) -> None:
    shop = shop_on(nobody, their_driver, "views" if views else "plain", user="nobody", views=views)
    told = shop.deploy("two", views=views)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert ("exchanged before" in told["answer"]["stages"]["initialization"]["comment"]) is not views
    found = {"two": shop.complaints("two")}
    assert shop.deploy("bad", views=views)["answer"]["result"] is False
    found["bad"] = shop.complaints("two")
    steps = ("worker", "serve", "commit")
    for moment in ({"record": step, "moment": "after"} for step in steps):
        before, after = shop.serving(), shop.other()
        found[str(moment)] = shop.survives(shop.deploy(after, die=moment, views=views), before, after)
    assert not {moment: words for moment, words in found.items() if words}
