"""The controller's runners, on a real master, with a guest's minion and a node's: projects, deployments, events."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.controller.journal import Journal
from corpus.controller.registry import models
from sqlalchemy import select

from tests.machine import IDENTITY, deadline, free_port, run
from tests.master import Master, master

#: A node whose traffic is a file: the real one would change this machine's.
NODE = """
import json


def harmless():
    return True


def traffic(wanted, test=False):
    if not test:
        with open({path!r}, "a") as stream:
            stream.write(json.dumps(wanted) + "\\n")
    return {{"result": True, "changes": {{}}, "comment": "written"}}
"""
GUEST, HOST = "web.corpus.test", "n1.corpus.test"


@pytest.fixture(scope="module")
def there() -> Iterator[Master]:
    heard = ["salt://corpus/reactor/heard.sls"]
    reactor = [{"salt/minion/*/start": heard}, {"corpus/deployment/*/*/end": heard}]
    with (
        tempfile.TemporaryDirectory(prefix="cc-", dir="/tmp") as folder,
        master(Path(folder) / "m", reactor=reactor) as made,
    ):
        Path(folder).chmod(0o755)
        registry = made.registry()
        with registry.session() as session:
            node = models.ComputeNode(
                name=HOST, minion_id=HOST, host="127.0.0.1", state="attaching", network="10.64.1.0/24"
            )
            platform = models.Platform(node=node, type="prod", operation_mode="final")
            session.add(platform)
            session.add(
                models.Guest(
                    name="web", minion_id=GUEST, node=node, address="10.64.1.2", ssh_port=40001, state="running"
                )
            )
        modules = made.folder / "srv/_modules"
        modules.mkdir()
        (modules / "mc_node.py").write_text(NODE.format(path=str(made.folder / "traffic")))
        made.minion(HOST)
        assert made.cloud().minions.call(HOST, "mc_node.harmless") is True
        with registry.session() as session:
            session.scalars(select(models.ComputeNode)).one().state = "ready"
        roots = {f"corpus.{name}_root": str(made.folder / name) for name in ("projects", "states", "pillar")}
        made.minion(GUEST, file_client="remote", **roots)
        yield made
        registry.close()


@pytest.fixture(scope="module")
def fitting() -> dict[str, Any]:
    user = {"user": "root"} if os.geteuid() == 0 else {}
    return {"installer": "generic", "http_address": "127.0.0.1", "http_port": free_port(), **user}


def told(there: Master, name: str, count: int) -> list[dict[str, Any]]:
    """The deployments of a project, when so many were heard of."""
    found: list[dict[str, Any]] = []
    for _ in deadline(60, 0.5):
        found = there.ok("mc_project.deployments", name)
        if len(found) >= count:
            break
    return found


def commit(tree: Path, **files: str) -> str:
    """Commit files, and return the revision."""
    for name, content in files.items():
        (tree / name).write_text(content)
    run(["git", "add", "--all"], cwd=tree)
    done = run(["git", "commit", "--quiet", "-m", "Change"], cwd=tree, env=IDENTITY)
    assert done.status == 0, done.said
    return run(["git", "rev-parse", "HEAD"], cwd=tree).output.strip()


def test_a_project_is_made_placed_pushed_to_and_destroyed(there: Master, fitting: dict[str, Any]) -> None:
    plan = there.ok("mc_project.create", "shop", owners=["ada"], test=True)
    assert plan["comment"] == "Would register the project; let its owners in."
    assert there.ok("mc_project.list") == {}
    made = there.ok("mc_project.create", "shop", owners=["ada"])
    assert (made["result"], made["who"]) == (True, "root")
    assert there.ok("mc_project.create", "shop", owners=["ada"])["changes"] == {}
    assert there.ok("mc_project.list")["shop"]["roles"] == {"owner": ["ada"]}

    assert "There is no guest 'nowhere'" in there.refused("mc_project.place", "shop", "nowhere")
    placed = there.ok("mc_project.place", "shop", "web", settings=fitting)
    assert placed["result"] is True, placed
    remotes = placed["facts"]["remotes"]
    assert remotes["project"] == f"ssh://shop@{GUEST}:40001/srv/projects/shop/git/project.git"
    assert there.ok("mc_project.infos", "shop")["guests"]["web"]["project"] == remotes["project"]
    steps = {step["name"]: step["state"] for step in placed["steps"]}
    assert steps["name it"] == "skipped"

    tree = there.folder / "tree"
    bare = there.folder / "projects/shop/git/project.git"
    run(["git", "init", "--quiet", "--initial-branch=main", str(tree)])
    revision = commit(tree, hello="one")
    pushed = run(["git", "push", str(bare), "HEAD:main"], cwd=tree)
    assert pushed.status == 0, pushed.said
    (first,) = told(there, "shop", 1)
    assert (first["guest"], first["kind"], first["result"]) == ("web", "deploy", True)
    assert first["revision"] == revision

    # Deployed again from here; asked for by refresh, nothing is kept twice.
    again = there.ok("mc_project.push", "shop")
    assert again["result"] is True, again
    assert len(told(there, "shop", 2)) == 2
    assert len(there.ok("mc_project.deployments", "shop", refresh=True)) == 2

    (tree / ".salt").mkdir()
    commit(tree, **{".salt/build.sls": "no:\n  test.fail_without_changes:\n    - comment: The cake fell.\n"})
    assert run(["git", "push", str(bare), "HEAD:main"], cwd=tree).status != 0
    broken = told(there, "shop", 3)[0]
    assert broken["result"] is False

    assert "confirm=shop" in there.refused("mc_project.destroy", "shop")
    gone = there.ok("mc_project.destroy", "shop", confirm="shop")
    assert gone["result"] is True, gone
    assert not bare.exists()
    assert there.ok("mc_project.list") == {}
    assert "There is no project 'shop'" in there.refused("mc_project.deployments", "shop")


def test_a_placement_that_fails_leaves_nothing(there: Master) -> None:
    there.ok("mc_project.create", "bad")
    ended = there.run("mc_project.place", "bad", "web", settings={"operation_mode": "nonsense"})
    assert ended.status == 1, ended.said
    report = json.loads(ended.output)
    assert report["result"] is False
    assert "nonsense" in report["comment"]
    assert report["comment"].endswith("Everything is as it was before.")
    assert there.ok("mc_project.list")["bad"]["guests"] == []
    assert not (there.folder / "projects/bad").exists()
    there.ok("mc_project.destroy", "bad", confirm="bad")


def test_what_a_forged_event_says_is_not_believed(there: Master, fitting: dict[str, Any]) -> None:
    there.ok("mc_project.create", "calm")
    there.ok("mc_project.place", "calm", "web", settings=fitting)
    tag = "corpus/deployment/calm/20260101T000000Z-00000000/end"
    assert there.ok("mc_controller.heard", tag, GUEST)["deployments"] == []
    assert there.ok("mc_controller.heard", tag, HOST)["deployments"] == []  # not placed there
    assert "no minion" in there.ok("mc_controller.heard", tag, "eve.corpus.test")["comment"]
    assert "concerns nobody" in there.ok("mc_controller.heard", "salt/auth", GUEST)["comment"]
    assert there.ok("mc_project.deployments", "calm") == []
    there.ok("mc_project.destroy", "calm", confirm="calm")


def test_people_get_roles(there: Master) -> None:
    there.ok("mc_project.create", "club")
    assert "email=ADDRESS" in there.refused("mc_project.grant", "club", "bob")
    assert there.ok("mc_project.grant", "club", "bob", email="bob@example.org", test=True)["changes"]
    assert there.ok("mc_project.infos", "club")["roles"] == {}
    given = there.ok("mc_project.grant", "club", "bob", email="bob@example.org", caller="carol")
    assert (given["who"], given["name"]) == ("carol", "project:club")
    assert there.ok("mc_project.grant", "club", "bob")["changes"] == {}
    assert there.ok("mc_project.infos", "club")["roles"] == {"deployer": ["bob"]}
    assert "is no role" in there.refused("mc_project.grant", "club", "bob", role="king")
    assert there.ok("mc_project.revoke", "club", "bob")["changes"] == {"roles": {"revoked": ["deployer"]}}
    assert there.ok("mc_project.revoke", "club", "bob")["changes"] == {}
    there.ok("mc_project.destroy", "club", confirm="club")


def test_a_guest_that_started_is_remembered_and_wired_again(there: Master) -> None:
    traffic = there.folder / "traffic"
    before = traffic.read_text().count("\n") if traffic.exists() else 0
    there.stop(GUEST)
    there.minion(GUEST)
    for _ in deadline(60, 0.2):
        if traffic.exists() and traffic.read_text().count("\n") > before:
            break
    wanted = json.loads(traffic.read_text().splitlines()[-1])
    assert [(guest["name"], guest["address"]) for guest in wanted["guests"]] == [("web", "10.64.1.2")]
    with there.cloud().registry.reading() as session:
        started = session.scalars(select(models.Guest.started)).one()
    assert started is not None
    assert (models.now() - started).total_seconds() < 120


def test_the_controller_tells_how_it_is(there: Master) -> None:
    there.ok("mc_project.create", "seen")
    report = there.ok("mc_controller.report")
    assert report["parts"] == {"registry": "ok", "dns": "not configured", "master": "ok"}
    assert (report["nodes"], report["guests"], report["minions"]) == ({"ready": 1}, {"running": 1}, 2)
    assert report["operations"] == []
    latest = there.ok("mc_controller.operations", limit=1)[0]
    (whole,) = there.ok("mc_controller.operations", operation=latest["operation"])
    assert whole["steps"]
    assert there.ok("mc_controller.resume")["comment"] == "Nothing was interrupted."
    assert "There is no operation" in there.refused("mc_controller.resume", "nothing")
    there.ok("mc_project.destroy", "seen", confirm="seen")


def test_progress_is_heard_on_the_bus(there: Master) -> None:
    import salt.utils.event

    with salt.utils.event.get_master_event(there.opts, there.opts["sock_dir"], listen=True) as bus:
        bus.connect_pub()
        report = there.ok("mc_project.create", "loud")
        heard = []
        for _ in deadline(20):
            event = bus.get_event(wait=1, tag="corpus/operation/", match_type="startswith", full=True)
            if event:
                heard.append(event)
                if event["tag"].endswith("/end"):
                    break
    tags = [event["tag"].removeprefix(f"corpus/operation/{report['operation']}/") for event in heard]
    assert tags == ["register-the-project", "register-the-project", "let-its-owners-in", "end"]
    assert [event["data"]["state"] for event in heard[:2]] == ["running", "done"]
    there.ok("mc_project.destroy", "loud", confirm="loud")


def test_what_died_while_a_guest_worked_for_it_is_undone_when_the_guest_is_done(
    there: Master, fitting: dict[str, Any]
) -> None:
    there.ok("mc_project.create", "cut")
    words = [*there.argv("mc_project.place", "cut", "web"), f"settings={json.dumps(fitting)}"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        cloud = there.cloud()
        for _ in deadline(60, 0.02):
            with cloud.registry.reading() as session:
                row = session.scalars(select(models.Operation).order_by(models.Operation.id.desc())).first()
                if row is not None and row.kind == "project.place" and "new" in row.data and "_calls" in row.data:
                    break
        for _ in deadline(30, 0.02):  # the guest has begun
            if (there.folder / "projects/cut").exists():
                break
        process.kill()
    settled = there.ok("mc_controller.resume")
    (report,) = settled["operations"]
    assert (report["state"], report["result"]) == ("undone", False)
    assert report["comment"] == "Its process died at make it ready on the guest. Everything is as it was before."
    assert report["notes"] == []
    assert there.ok("mc_project.list")["cut"]["guests"] == []
    assert not (there.folder / "projects/cut").exists()
    assert cloud.minions.call(GUEST, "mc_project.list_projects") == {}
    there.ok("mc_project.destroy", "cut", confirm="cut")


def test_the_controller_settles_what_was_interrupted_when_it_starts(there: Master) -> None:
    schedule = {"corpus-resume": {"function": "mc_controller.resume", "minutes": 5, "run_on_start": True}}
    steps = ["register the project", "let its owners in"]
    begun = Journal.begin(there.cloud().registry, "project.create", "project:ghost", {"name": "ghost"}, "ada", steps)
    there.stop("master")
    there.configure(schedule=schedule)
    there.start("master")
    for _ in deadline(90, 0.5):
        if Journal.load(there.cloud().registry, begun.uuid).state == "undone":
            break
