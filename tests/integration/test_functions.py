"""Every function of ``mc_project``, called as a person calls it: what it returns, its exit status, what it leaves."""

import json
import tarfile
import textwrap
from pathlib import Path
from typing import Any

from tests.machine import CHECKOUT, Machine, WorkTree, deadline, digests, page

PAGE = {"public/index.html": "first"}


def sls(stage: str, body: str) -> str:
    """A stage's sls as a project writes it: the installer's, and its own states."""
    return f"include: {{{{ cfg.sls_includes['{stage}'] | json }}}}\n\n{textwrap.dedent(body)}"


def served(machine: Machine, name: str, **settings: Any) -> tuple[WorkTree, int]:
    """A project that serves its folder ``public``, pushed once."""
    port = machine.init(name, document_root="public", **settings)["http_port"]
    tree = machine.work_tree(name, PAGE)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    return tree, port


def test_init_twice_changes_nothing(machine: Machine) -> None:
    before = digests(machine.projects)
    foreseen = machine.ok("mc_project.init_project", "twice", test=True, user="root")
    assert "would be initialized" in foreseen["comment"]
    assert foreseen["changes"]["to do"]
    assert digests(machine.projects) == before  # test=True makes nothing, not even the project's folder

    first = machine.ok("mc_project.init_project", "twice", user="root", domain="twice.example.org")
    assert first["result"] is True
    assert set(foreseen["changes"]["to do"]) <= set(first["changes"]["done"])
    assert first["remotes"]["project"].endswith("/twice/git/project.git")
    assert first["remotes"]["pillar"].endswith("/twice/git/pillar.git")
    assert (machine.folder / "srv/salt/makina-projects/twice").resolve() == machine.project("twice") / "project/.salt"
    assert (machine.folder / "srv/pillar/makina-projects/twice").resolve() == machine.project("twice") / "pillar"
    assert {path.name for path in (machine.project("twice") / "project/.salt").iterdir()} >= {
        *(f"{stage}.sls" for stage in ("deploy", "release-sync", "post_install", "notification", "top", "standalone")),
        "PILLAR.sample",
    }

    before = digests(machine.projects)
    second = machine.ok("mc_project.init_project", "twice")
    assert second["changes"] == {}
    assert "nothing changed" in second["comment"]
    assert digests(machine.projects) == before


def test_configuration_is_read_explained_and_set(machine: Machine) -> None:
    machine.init("told", installer="static", domain="told.example.org", env={"API_KEY": "do-not-show-7731"})
    name = "mc_project.get_configuration"

    cfg = machine.ok(name, "told")
    assert (cfg["name"], cfg["domain"], cfg["operation_mode"]) == ("told", "told.example.org", "cooking")
    assert cfg["data_root"] == str(machine.project("told") / "data")  # {project_dir}/data
    assert "do-not-show" not in json.dumps(cfg)
    assert machine.ok(name, "told", unmask=True)["env"]["API_KEY"] == "do-not-show-7731"

    explained = machine.ok(name, "told", explain=True)
    assert explained["domain"] == {"value": "told.example.org", "from": "saved settings"}
    assert explained["document_root"] == {"value": "public", "from": "installer static"}
    assert explained["keep_archives"] == {"value": 5, "from": "default"}
    assert explained["project_root"]["from"] == "computed"
    assert explained["default_env"] == {"value": "staging", "from": "operation_mode"}
    assert "do-not-show" not in json.dumps(explained)

    changed = machine.ok("mc_project.set_configuration", "told", domain=None, data={"theme": "dark"}, keep_archives=3)
    assert changed["result"] is True
    assert changed["changes"]["domain"] == {"old": "told.example.org", "new": None}
    assert changed["changes"]["keep_archives"] == {"old": None, "new": 3}
    cfg = machine.ok(name, "told")
    assert (cfg["domain"], cfg["data"]["theme"], cfg["keep_archives"]) == (None, "dark", 3)
    again = machine.ok("mc_project.set_configuration", "told", keep_archives=3)
    assert again["changes"] == {}

    assert "did you mean 'domain'" in machine.refused("mc_project.set_configuration", "told", domian="x.example.org")
    assert "keep_archives is a whole number" in machine.refused(
        "mc_project.set_configuration", "told", keep_archives="many"
    )
    assert "computed by corpus" in machine.refused("mc_project.set_configuration", "told", project_root="/etc")
    assert machine.ok(name, "told")["keep_archives"] == 3


STAGES = ("archive", "release_sync", "configure", "build", "reconfigure", "activate", "bundle", "post_install")


def test_each_procedure_runs_alone(machine: Machine) -> None:
    tree, _ = served(machine, "single")
    names = {stage: stage.replace("release_sync", "release-sync") for stage in (*STAGES, "notify")}
    names["notify"] = "notification"
    marks = machine.folder / "single-marks"
    tree.commit(
        {
            f".salt/{file}.sls": sls(
                file,
                f"""
                {stage}-mark:
                  file.managed:
                    - name: {marks}/{stage}
                    - makedirs: true
                    - contents: {{{{ cfg.deployment.kind }}}}
                """,
            )
            for stage, file in names.items()
        }
    )
    assert tree.push().status == 0
    for mark in marks.iterdir():
        mark.unlink()

    for stage in STAGES:
        report = machine.ok(f"mc_project.{stage}", "single")
        assert (report["name"], report["result"], list(report["stages"])) == ("single", True, [stage])
        assert report["stages"][stage]["changed"] == 1, report
        assert report["deployment"]
        assert [mark.name for mark in marks.iterdir()] == [stage]
        assert (marks / stage).read_text().strip() == stage
        (marks / stage).unlink()

    sent = machine.ok("mc_project.notify", "single")
    assert (marks / "notify").exists()
    assert sent["kind"] == "post_install"  # the last thing that was run

    tree.commit({".salt/post_install.sls": sls("post_install", "broken: {test.fail_without_changes: []}")})
    assert tree.push().status != 0
    failed = machine.call("mc_project.configure", "single", timeout=0.001)
    assert failed.status == 1
    assert failed.answer["result"] is False
    assert "timeout" in failed.answer["comment"]


def test_upgrade_steps_are_run_once_each_and_by_name(machine: Machine) -> None:
    tree, port = served(machine, "steps")
    trace = machine.folder / "steps-trace"

    def step(word: str) -> str:
        return f"{word}:\n  cmd.run:\n    - name: echo {word} >> {trace}\n"

    tree.commit({".salt/upgrades/0002-two.sls": step("two"), ".salt/upgrades/0001-one.sls": step("one")})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert trace.read_text().split() == ["one", "two"]
    tree.commit(PAGE)
    assert tree.push().status == 0
    assert trace.read_text().split() == ["one", "two"]  # done steps are not run again

    refused = machine.call("mc_project.upgrade", "steps", step="0001-one")
    assert refused.status == 1
    assert "done already" in refused.answer["comment"]
    assert "no upgrade step '0009" in machine.call("mc_project.upgrade", "steps", step="0009-none").answer["comment"]
    assert machine.ok("mc_project.forget_upgrade", "steps", "0001-one") is True
    assert machine.ok("mc_project.upgrade", "steps", step="0001-one")["result"] is True
    assert trace.read_text().split() == ["one", "two", "one"]

    tree.commit({".salt/upgrades/0002-two.sls": step("altered"), "public/index.html": "second"})
    altered = tree.push()
    assert altered.status != 0
    assert "'0002-two' was altered after it was done" in altered.errors
    assert machine.page(port) == (200, "first")
    assert trace.read_text().split() == ["one", "two", "one"]


def test_plan_tells_everything_and_changes_nothing(machine: Machine) -> None:
    tree, _ = served(machine, "planned")
    touched = machine.folder / "planned-touched"
    tree.commit(
        {
            ".salt/configure.sls": sls(
                "configure",
                f"""
                setting:
                  file.managed:
                    - name: {touched}
                    - contents: x
                command:
                  cmd.run:
                    - name: touch {touched}
                own-command:
                  mc_project.command:
                    - name: touch {touched}
                """,
            )
        }
    )
    assert tree.push("-o", "no-deploy").status == 0
    before = digests(machine.projects)
    told = machine.call("mc_project.plan", "planned", out="mc_project")
    answer = machine.ok("mc_project.deploy_project", "planned", test=True)
    after = digests(machine.projects)
    assert told.status == 0
    assert "unknown:      cmd.run" in told.output
    assert "unknown:      mc_project.command" in told.output
    assert f"would change: file.managed {touched}" in told.output
    assert answer["result"] is True
    foreseen = {state["id"]: state["result"] for state in answer["stages"]["configure"]["states"]}
    assert (foreseen["planned-document-root"], foreseen["setting"]) == (True, None)
    assert not touched.exists()
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()

    tree.commit({".salt/configure.sls": "{% broken"})
    assert tree.push("-o", "no-deploy").status == 0
    failing = machine.call("mc_project.plan", "planned")
    assert failing.status == 1
    assert failing.answer["result"] is False
    assert digests(machine.projects / "planned/project") == {
        path.removeprefix("planned/project/"): digest
        for path, digest in before.items()
        if path.startswith("planned/project/")
    }


def test_going_back_to_the_previous_and_to_an_archived_release(machine: Machine) -> None:
    tree, port = served(machine, "back", keep_trees=1)
    revisions = [tree.branch()]
    for word in ("second", "third"):
        revisions.append(tree.commit({"public/index.html": word}))
        assert tree.push().status == 0
    third, second, first = machine.releases("back")
    assert [entry["kept"] for entry in (third, second, first)] == ["running", "tree", "archive"]
    assert [entry["revision"] for entry in (first, second, third)] == revisions
    assert third["artifacts"] == [f"back-{third['release']}.tar.zst"]

    assert "is what runs" in machine.refused("mc_project.rollback", "back", release=third["release"])
    gone = machine.refused("mc_project.rollback", "back", release="20200101T000000Z-00000000")
    assert "is not kept" in gone
    assert first["release"] in gone
    assert "is not a release id" in machine.refused("mc_project.rollback", "back", release="../../etc")
    assert machine.page(port) == (200, "third")

    report = machine.ok("mc_project.rollback", "back")
    assert (report["result"], report["kind"]) == (True, "rollback")
    assert report["changes"]["release"] == {"old": third["release"], "new": second["release"]}
    assert machine.page(port) == (200, "second")
    assert tree.branch() == revisions[1]  # the branch names what runs

    report = machine.ok("mc_project.rollback", "back", release=first["release"])
    assert machine.page(port) == (200, "first")
    assert tree.branch() == revisions[0]
    assert report["result"] is True
    machine.ok("mc_project.rollback", "back")  # the one that ran before this one
    assert machine.page(port) == (200, "second")

    status = machine.ok("mc_project.status", "back")
    assert (status["release"], status["serves"]) == (second["release"], second["release"])
    assert status["url"] == f"http://127.0.0.1:{port}/"
    assert (status["busy"], status["locked"], status["interrupted"]) == (None, None, False)
    listed = machine.ok("mc_project.list_projects")["back"]
    assert (listed["release"], listed["revision"]) == (second["release"], revisions[1])

    history = machine.ok("mc_project.history", "back")
    assert [entry["kind"] for entry in history] == ["rollback"] * 3 + ["deploy"] * 3
    assert all(entry["result"] and entry["who"] and entry["when"] for entry in history)
    assert set(history[-1]["stages"]) >= {"configure", "build", "switch", "post_install"}
    assert all(isinstance(stage["seconds"], float) for stage in history[-1]["stages"].values())
    assert len(machine.ok("mc_project.history", "back", limit=2)) == 2
    log = machine.ok("mc_project.log", "back", deployment=history[-1]["deployment"])
    assert f"Deployed {revisions[0][:10]}" in log
    assert "Rolled back to" in machine.ok("mc_project.log", "back")
    assert "no log of" in machine.refused("mc_project.log", "back", deployment="20200101T000000Z-00000000")
    readable = machine.call("mc_project.history", "back", out="mc_project").output
    assert revisions[0][:10] in readable


def test_a_locked_project_is_not_deployed(machine: Machine) -> None:
    tree, port = served(machine, "shut")
    note = machine.ok("mc_project.lock", "shut", reason="database move")
    assert note["reason"] == "database move"
    before = tree.branch()
    tree.commit({"public/index.html": "second"})
    refused = tree.push()
    assert refused.status != 0
    assert f"locked by {note['who']} since {note['since']} (database move)" in refused.errors
    assert "database move" in machine.refused("mc_project.rollback", "shut")
    assert machine.ok("mc_project.status", "shut")["locked"] == note
    assert (tree.branch(), machine.page(port)) == (before, (200, "first"))
    assert machine.ok("mc_project.unlock", "shut") is True
    assert machine.ok("mc_project.unlock", "shut") is False
    assert tree.push().status == 0
    assert machine.page(port) == (200, "second")


def test_one_deployment_at_a_time(machine: Machine) -> None:
    """The second says who holds the project since when, or waits."""
    tree, _ = served(machine, "busy")
    reached, gate = machine.folder / "busy-reached", machine.folder / "busy-gate"
    waiting = f"sh -c 'touch {reached}; while [ ! -e {gate} ]; do sleep 0.05; done'"
    tree.commit({".salt/build.sls": sls("build", f"slow:\n  mc_project.command:\n    - name: {json.dumps(waiting)}\n")})
    assert tree.push("-o", "no-deploy").status == 0
    first = machine.begin("mc_project.deploy_project", "busy", who="grace")
    for _ in deadline(30):
        if reached.exists() or first.poll() is not None:
            break
    busy = machine.ok("mc_project.status", "busy")["busy"]
    assert (busy["who"], busy["what"], busy["pid"]) == ("grace", "deploy", first.pid)
    refusal = machine.refused("mc_project.deploy_project", "busy")
    assert f"grace holds it since {busy['since']}" in refusal
    patient = machine.begin("mc_project.deploy_project", "busy", wait=60)
    gate.touch()
    for deployment in (first, patient):
        output, errors = deployment.communicate(timeout=60)
        assert deployment.returncode == 0, output + errors
        assert json.loads(output)["local"]["result"] is True
    assert machine.ok("mc_project.status", "busy")["busy"] is None


def test_destroying_wants_a_confirmation_and_leaves_an_archive(machine: Machine) -> None:
    _, port = served(machine, "doomed")
    (machine.project("doomed") / "data/kept.txt").write_text("precious")
    refusal = machine.refused("mc_project.destroy_project", "doomed")
    assert "confirm=doomed" in refusal
    assert "confirm=doomed" in machine.refused("mc_project.destroy_project", "doomed", confirm="yes")
    assert machine.page(port) == (200, "first")

    gone = machine.ok("mc_project.destroy_project", "doomed", confirm="doomed")
    assert gone["result"] is True
    assert not machine.project("doomed").exists()
    for root in ("salt", "pillar"):
        assert not (machine.folder / f"srv/{root}/makina-projects/doomed").is_symlink()
    assert page(port)[0] in (0, 404)
    assert "doomed" not in machine.ok("mc_project.list_projects")
    with tarfile.open(gone["archive"]) as archive:
        names = archive.getnames()
        assert "project/public/index.html" in names
        assert "git/project.git/HEAD" in names
        assert archive.extractfile("data/kept.txt").read() == b"precious"  # type: ignore[union-attr]
    assert Path(gone["archive"]).stat().st_mode & 0o077 == 0
    assert "There is no project" in machine.refused("mc_project.status", "doomed")


TOY = '''
"""A version of the project API that does next to nothing."""

from corpus.project import configuration
from corpus.project.layout import Layout, Roots


def init_project(name, test=False, **kwargs):
    layout = Layout(Roots.configured(__opts__), name)
    layout.own.mkdir(parents=True)
    configuration.store_settings(layout, {"api_version": 3})
    return {"name": name, "result": True, "changes": {}, "comment": "made by version 3"}


def deploy_project(name, test=False, **kwargs):
    return {"name": name, "result": True, "changes": {}, "comment": "deployed by version 3"}


def list_projects():
    return {"version": 3}
'''


def test_dispatch_to_the_module_of_the_projects_version(tmp_path: Path) -> None:
    """Explicit beats saved beats default; whatever Salt can load is registered."""
    machine = Machine(tmp_path / "m")
    (tmp_path / "toy/_modules").mkdir(parents=True)
    (tmp_path / "toy/_modules/mc_project_3.py").write_text(TOY)
    machine.configure(module_dirs=[str(CHECKOUT), str(tmp_path / "toy")])

    assert machine.ok("mc_project.init_project", "third", api_version=3)["comment"] == "made by version 3"
    assert machine.ok("mc_project.deploy_project", "third")["comment"] == "deployed by version 3"  # saved
    assert machine.ok("mc_project.history", "third", api_version=2) == []  # explicit
    assert "There is no project 'ghost'" in machine.refused("mc_project.deploy_project", "ghost")  # the default, 2
    assert machine.ok("mc_project.list_projects", api_version=3) == {"version": 3}
    assert set(machine.ok("mc_project.list_projects")) == {"third"}
    unknown = machine.refused("mc_project.status", "third", api_version=9)
    assert "no project API version '9': this machine has 2, 3" in unknown
