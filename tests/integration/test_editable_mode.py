"""Editable mode: the tree is the developer's; corpus follows its origin and never overwrites work."""

import signal
import threading

import pytest

from tests.machine import CHECKOUT, Machine, deadline, run


def test_the_tree_of_the_developer_is_left_alone(machine: Machine) -> None:
    origin = machine.work_tree("mine", {"public/index.html": "first", ".salt/build.sls": "# nothing\n"})
    port = machine.init("mine", operation_mode="editable", url=f"file://{origin.folder}", document_root="public")[
        "http_port"
    ]
    project = machine.project("mine") / "project"
    assert (project / "public/index.html").read_text() == "first"

    report = machine.ok("mc_project.deploy_project", "mine")
    assert report["result"] is True
    assert {name for name, stage in report["stages"].items() if stage["result"] is None} == {
        "archive",
        "release_sync",
        "reconfigure",
        "bundle",
    }
    assert machine.page(port) == (200, "first")

    origin.commit({"public/index.html": "second"})  # a clean tree follows its origin
    machine.ok("mc_project.deploy_project", "mine")
    assert machine.page(port) == (200, "second")

    (project / "public/index.html").write_text("work in progress")  # what is not committed is not touched
    (project / "notes").write_text("mine")
    origin.commit({"public/index.html": "third", ".salt/build.sls": "broken: {test.fail_without_changes: []}\n"})
    machine.ok("mc_project.deploy_project", "mine")
    assert machine.page(port) == (200, "work in progress")

    pushed = origin.push()
    assert pushed.status == 0, pushed.said
    assert "in editable mode nothing deploys by itself" in pushed.errors
    assert machine.page(port) == (200, "work in progress")

    (project / ".salt/build.sls").write_text("broken: {test.fail_without_changes: []}\n")
    failed = machine.call("mc_project.deploy_project", "mine")
    assert failed.status == 1
    assert failed.answer["stages"]["rollback"]["result"] is None
    assert (project / "public/index.html").read_text() == "work in progress"
    assert (project / "notes").read_text() == "mine"
    assert machine.page(port) == (200, "work in progress")


APP = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (open("built").read() + " " + GREETING).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
GREETING = "hello"
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
#: writes what git does not ignore, too, and every time something else
BUILD = """
built:
  cmd.run:
    - name: cat requirements.txt > built; date +%N > stamp
    - cwd: {{ cfg.project_root }}
"""


def test_what_is_saved_is_deployed_by_the_stages_that_it_concerns(machine: Machine) -> None:
    name = "watched"
    settings = machine.init(
        name, operation_mode="editable", installer="generic", processes={"web": "python3 app.py"}, drain=0
    )
    tree, port = machine.project(name) / "project", settings["http_port"]
    (tree / ".salt/build.sls").write_text(BUILD)
    (tree / ".gitignore").write_text("built\n")
    (tree / "requirements.txt").write_text("one")
    (tree / "app.py").write_text(APP)
    watcher = machine.begin("mc_project.watch", name)
    said: list[str] = []
    assert watcher.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(watcher.stderr or []), daemon=True)
    reader.start()

    def becomes(page: str) -> None:
        for _ in deadline(60, 0.1):
            assert watcher.poll() is None, said
            if machine.page(port) == (200, page):
                return

    def says(words: str, times: int = 1) -> None:
        for _ in deadline(60, 0.1):
            assert watcher.poll() is None, said
            if "".join(said).count(words) >= times:
                return

    try:
        becomes("one hello")
        says("=====> Deployed")
        (tree / "app.py").write_text(APP.replace("hello", "good morning"))
        becomes("one good morning")
        says("-----> app.py")
        (tree / "requirements.txt").write_text("two")
        becomes("two good morning")
        says("requirements.txt: configure, build, activate\n")
        says("-----> stamp: activate\n")  # the build wrote it: followed once, and then it is as it was

        # what fails is told, what ran goes on, and the next change mends it
        says("=====> Deployed", 4)
        (tree / "app.py").write_text("nonsense")
        says("does not stay up")
        assert machine.page(port) == (200, "two good morning")
        (tree / "app.py").write_text(APP)
        becomes("two hello")

        # neither what git ignores nor what is written anew with the same content is a change
        (tree / "built").write_text("by hand")
        (tree / "app.py").write_text(APP)
        (tree / "note.pyc").write_text("x")
        (tree / "venv").mkdir()
        (tree / "venv/x.py").write_text("x")
        (tree / ".env").write_text("A=1")
        says(".env: activate\n")
        says("=====> Deployed", 6)
        assert "".join(said).count("-----> app.py") == 3
    finally:
        watcher.send_signal(signal.SIGINT)
        output, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, said
    assert "Watched for" in output
    assert "Traceback" not in "".join(said)
    # one record each, of which one failed, and nothing was archived or rolled back
    records = machine.ok("mc_project.history", name)
    assert [record["result"] for record in records].count(False) == 1
    assert records[-1]["stages"]["build"]["result"] is True
    assert records[0]["stages"]["build"]["result"] is None
    assert records[0]["stages"]["archive"]["result"] is None


def test_only_a_developers_tree_is_watched(machine: Machine) -> None:
    machine.init("unwatched", installer="static")
    assert "is in cooking mode" in machine.refused("mc_project.watch", "unwatched")
    machine.ok("mc_project.set_configuration", "unwatched", operation_mode="editable", watch={"*.x": ["nonesuch"]})
    assert "watch: '*.x' names 'nonesuch'" in machine.refused("mc_project.watch", "unwatched")


@pytest.mark.parametrize("example", ["flask", "django", "static"])
def test_every_example_is_developed_in_place(machine: Machine, example: str) -> None:
    origin = machine.work_tree(f"dev{example}", like=CHECKOUT / "examples" / example)
    settings = machine.init(f"dev{example}", operation_mode="editable", url=f"file://{origin.folder}")
    deployed = machine.call("mc_project.deploy_project", f"dev{example}")
    assert deployed.status == 0, deployed.said
    assert machine.page(settings["http_port"])[0] == 200
    again = machine.call("mc_project.deploy_project", f"dev{example}")
    assert again.status == 0, again.said


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("app", "source", "before", "after", "path", "page"),
    [
        ("express", "server.js", "node says", "node now says", "/", "node now says 1d in production"),
        ("built", "build.js", "built with", "rebuilt with", "/", "rebuilt with is-number: true"),
        ("php-symfony", "src/Kernel.php", "'release' => '1'", "'release' => '2'", "/", "Hello RELEASE 2 at /"),
        ("zope", "buildout.cfg", "admin:admin", "chief:chief", "/", None),
    ],
)
def test_every_kind_of_application_is_developed_in_place(
    machine: Machine, app: str, source: str, before: str, after: str, path: str, page: str | None
) -> None:
    """What is built and installed lies in the developer's tree; of what is under version control nothing is changed."""
    name = f"dev-{app}"
    origin = machine.work_tree(name, like=CHECKOUT / "tests/apps" / app)
    settings = machine.init(name, operation_mode="editable", url=f"file://{origin.folder}")
    project, port = machine.project(name) / "project", settings["http_port"]
    deployed = machine.call("mc_project.deploy_project", name)
    assert deployed.status == 0, deployed.said
    status, first = machine.page(port, path)
    assert status == 200

    text = (project / source).read_text()
    assert before in text
    (project / source).write_text(text.replace(before, after))
    again = machine.call("mc_project.deploy_project", name)
    assert again.status == 0, again.said
    status, second = machine.page(port, path)
    assert (status, second) == (200, page if page else first)
    changed = run(["git", "-c", f"safe.directory={project}", "-C", str(project), "diff", "--name-only"]).output.split()
    assert changed == [source]

    # what fails leaves the developer's change as it is, and what ran goes on
    (project / ".salt/build.sls").write_text("broken: {test.fail_without_changes: []}\n")
    failed = machine.call("mc_project.deploy_project", name)
    assert failed.status == 1
    assert machine.page(port, path) == (200, second)
    assert after in (project / source).read_text()
    machine.ok("mc_project.destroy_project", name, confirm=name)
