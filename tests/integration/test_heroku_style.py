"""Applications as people have them for Heroku or Dokku, pushed unmodified; and ones that fail as theirs do."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.machine import CHECKOUT, Ended, Machine, WorkTree, deadline, run

APPS = CHECKOUT / "tests/apps"


def refused(tree: WorkTree, *words: str) -> Ended:
    """Push what must be refused: the branch stays, and one sentence says why."""
    before = tree.branch()
    ended = tree.push()
    assert ended.status != 0, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert "Unexpected" not in ended.said, ended.said
    for word in words:
        assert word in ended.errors, ended.said
    assert tree.branch() == before
    return ended


@pytest.fixture(scope="module")
def procfile(machine: Machine) -> Iterator[tuple[WorkTree, int]]:
    """An application that is a Procfile and programs, deployed."""
    port = machine.init("procs", healthcheck={"timeout": 3})["http_port"]
    tree = machine.work_tree("procs", like=APPS / "procfile-only")
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "auto: generic, because of Procfile" in pushed.errors
    assert "preparing " in pushed.errors  # what the release process prints
    return tree, port


def test_a_procfile_alone(machine: Machine, procfile: tuple[WorkTree, int]) -> None:
    tree, port = procfile
    assert machine.page(port) == (200, "first True")
    log = machine.project("procs") / "logs/worker.log"
    for _ in deadline(10):
        if log.exists() and "hello from the worker" in log.read_text():
            break
    explained = machine.ok("mc_project.get_configuration", "procs", explain=True)
    assert explained["installer"] == {"value": "generic", "from": "auto: Procfile"}
    assert explained["processes.worker"] == {"value": "GREETING=hello ./work", "from": "Procfile"}

    tree.commit({"server/page": "second"})
    assert tree.push().status == 0
    assert machine.page(port) == (200, "second True")
    prepared = machine.project("procs") / "data/prepared"
    assert len(prepared.read_text().split()) == 2
    machine.ok("mc_project.rollback", "procs")
    assert machine.page(port) == (200, "first True")
    assert len(prepared.read_text().split()) == 2  # going back runs no release process
    tree.git("reset", "--quiet", "--hard", "HEAD~1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"prepare": "#!/bin/sh\necho no database >&2\nexit 3\n"},
            "The release process failed (exit status 3): no database",
        ),
        ({"Procfile": "web: ./a\nno process\n"}, "Procfile, line 2: expected '<type>: <command>'"),
        ({"server/serve": "#!/bin/sh\necho broken >&2\nexit 1\n"}, "does not stay up: broken"),
        ({"server/serve": "#!/bin/sh\nexec sleep 986\n"}, "The health check failed: no answer"),
    ],
    ids=["release", "procfile", "dies", "port"],
)
def test_ways_to_fail(machine: Machine, procfile: tuple[WorkTree, int], change: dict[str, str], words: str) -> None:
    """The push is refused in words, and the page from before stays."""
    tree, port = procfile
    before = machine.page(port)
    tree.commit({**change, "server/page": "never seen"})
    refused(tree, words)
    assert machine.page(port) == before == (200, "first True")
    assert run(["pgrep", "-f", "^sleep 986$"]).output == ""
    tree.git("reset", "--quiet", "--hard", "HEAD~1")


def test_one_off_processes(machine: Machine, procfile: tuple[WorkTree, int]) -> None:
    """They run in the release, their words and their exit status come back, and nothing of them survives the caller."""
    machine.ok("mc_project.set_configuration", "procs", env={"API_KEY": "hidden-Jz81xq"})
    done = machine.ok("mc_project.run", "procs", "cat server/page; echo; echo $CORPUS_PROJECT; pwd")
    assert done["output"].split() == ["first", "procs", str(machine.project("procs") / "project")]
    assert (done["status"], done["result"]) == (0, True)
    failed = machine.call("mc_project.run", "procs", "echo hidden-Jz81xq; exit 7")
    assert failed.status != 0
    assert failed.answer["status"] == 7
    assert "hidden-Jz81xq" not in failed.said
    late = machine.call("mc_project.run", "procs", "(setsid sleep 985 &) ; sleep 985", timeout=1)
    assert "did not end within 1 seconds" in late.errors

    caller = machine.begin("mc_project.run", "procs", "(setsid sleep 985 &) ; exec sleep 985")
    for _ in deadline(30):
        if len(run(["pgrep", "-f", "^sleep 985$"]).output.split()) == 2:
            break
    os.kill(caller.pid, signal.SIGKILL)
    caller.communicate()
    for _ in deadline(10):
        if not run(["pgrep", "-f", "^sleep 985$"]).output:
            break

    machine.init("fresh")
    assert "Nothing of 'fresh' is deployed yet" in machine.refused("mc_project.run", "fresh", "true")


def test_an_app_json(machine: Machine) -> None:
    port = machine.init("greeter")["http_port"]
    tree = machine.work_tree("greeter", like=APPS / "app-json")
    ended = refused(tree, "The application needs a value for SHOP_NAME (app.json, env)")
    assert "SENTRY_DSN" not in ended.errors
    machine.ok("mc_project.set_configuration", "greeter", env={"SHOP_NAME": "Corner"})

    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    for words in ("the size 'standard-1x' of web is not used", "wants a PostgreSQL database (heroku-postgresql)"):
        assert words in pushed.errors
    first = json.loads(machine.page(port)[1])
    assert (first["GREETING"], first["SHOP_NAME"], first["FROM_ENV_FILE"]) == ("hello", "Corner", "from .env")
    assert len(first["SECRET_KEY"]) == 64
    assert first["SECRET_KEY"] not in pushed.said
    assert first["SECRET_KEY"] not in "".join(
        path.read_text(errors="replace") for path in (machine.project("greeter") / ".corpus").glob("registry*")
    )
    told = machine.project("greeter") / "data/told"
    assert told.read_text().split() == ["before", "released", "after", "seeded"]
    explained = machine.ok("mc_project.get_configuration", "greeter", explain=True)
    assert explained["scale.web"] == {"value": 2, "from": "app.json"}
    assert explained["healthcheck.path"] == {"value": "/up", "from": "app.json"}

    tree.commit({"again": ""})
    assert tree.push().status == 0
    assert json.loads(machine.page(port)[1]) == first  # its secret is the same
    assert told.read_text().split()[4:] == ["before", "released", "after"]  # nothing is seeded twice

    tree.commit({"app.json": '{"env": {,}}'})
    refused(tree, "app.json, line 1, column 10: it is no JSON")
    assert json.loads(machine.page(port)[1]) == first


def test_a_tree_that_nobody_recognizes(machine: Machine) -> None:
    machine.init("riddle")
    tree = machine.work_tree("riddle", {"notes.txt": "x"})
    refused(tree, "It looked for Procfile", "set the key installer")
    assert not (machine.project("riddle") / "project/notes.txt").exists()


def test_pages_as_they_are(machine: Machine) -> None:
    """The installer changes with the tree, and that is said."""
    port = machine.init("leaves")["http_port"]
    tree = machine.work_tree("leaves", {"index.html": "plain", "404.html": "lost", ".env": "A=1"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "auto: static, because of index.html" in pushed.errors
    assert machine.page(port) == (200, "plain")
    assert machine.page(port, "/nothing") == (404, "lost")
    assert machine.page(port, "/.env")[0] == 404  # what begins with a dot is nobody's business
    tree.commit({"Procfile": "web: python3 -m http.server --bind 127.0.0.1 $PORT\n"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "auto: generic, because of Procfile; it was static before" in pushed.errors
    assert machine.page(port) == (200, "plain")


def test_pages_that_a_command_builds(machine: Machine) -> None:
    port = machine.init("pages", installer="static")["http_port"]
    tree = machine.work_tree("pages", like=APPS / "static-built")
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "one and two")
    assert machine.page(port, "/two.html") == (200, "two")
    assert machine.page(port, "/three.html") == (404, "no such word")
    tree.commit({"build.js": "throw new Error('no words left')"})
    refused(tree, "Stage build failed", "no words left")
    tree.commit({"build.js": "// writes nothing"})
    refused(tree, "Stage build failed", "project/dist")
    tree.commit({".salt/PILLAR.sample": "data: {static: {build: no-such-generator --all}}\n"})
    refused(tree, "Stage build failed", "no-such-generator is not installed")
    assert machine.page(port) == (200, "one and two")


def test_an_app_json_on_a_laptop(machine: Machine) -> None:
    """A developer's tree declares as much as one that is pushed; its processes wait for the release process, too."""
    origin = machine.work_tree("laptop", like=APPS / "app-json")
    settings = machine.init(
        "laptop", operation_mode="editable", url=f"file://{origin.folder}", env={"SHOP_NAME": "Desk"}
    )
    done = machine.ok("mc_project.deploy_project", "laptop")
    assert done["result"] is True
    seen = json.loads(machine.page(settings["http_port"])[1])
    assert (seen["SHOP_NAME"], len(seen["SECRET_KEY"])) == ("Desk", 64)
    assert "processes wait for the release process" in done["stages"]["activate"]["comment"]
    assert "release ran; started web" in done["stages"]["upgrade"]["comment"]
