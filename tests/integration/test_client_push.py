"""``corpus push``: by real git, through a real sshd, to a project that is deployed for real."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.controller.registry.models import ComputeNode, Guest, Owner, Placement, Platform, Project, Role

from tests.client import Laptop
from tests.machine import Machine, run
from tests.sshd import Door, opened
from tests.web import Web, web

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making users needs root")

NAME = f"cli{os.getpid()}"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("w")) as made:
        with made.registry.session() as session:
            node = ComputeNode(name="node1", minion_id="node1.corpus.test", host="192.0.2.1", state="ready")
            ada = Owner(name="ada", email="ada@corpus.test")
            platform = Platform(uuid="p-1", node=node, type="staging", operation_mode="cooking", owner=ada)
            project = Project(name=NAME, settings={})
            session.add_all([node, ada, platform, project])
            for at, name in enumerate(("web1", "web2")):
                guest = Guest(
                    name=name,
                    minion_id=f"{name}.corpus.test",
                    platform=platform,
                    node=node,
                    state="running",
                    ssh_port=40001 + at,
                )
                session.add(guest)
                session.flush()
                if name == "web1":
                    session.add(Placement(project=project, guest=guest))
            session.add(Role(owner_id=ada.id, project_id=project.id, name="deployer"))
        yield made


@pytest.fixture(scope="module")
def door(machine: Machine) -> Iterator[Door]:
    with opened(machine.folder / "sshd") as door:
        yield door


@pytest.fixture(scope="module")
def port(machine: Machine, door: Door) -> Iterator[int]:
    """The project's port on the guest, which this machine is."""
    public = door.key.with_suffix(".pub").read_text().strip()
    settings = machine.init(NAME, installer="static", user=NAME, authorized_keys=[public])
    yield settings["http_port"]
    machine.ok("mc_project.destroy_project", NAME, confirm=NAME)


@pytest.fixture(scope="module")
def laptop(there: Web, machine: Machine, door: Door, port: int, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop whose git finds the guest's address here."""
    made = Laptop(tmp_path_factory.mktemp("home"), there.url)
    address = f"ssh://{NAME}@web1.corpus.test:40001/srv/projects/{NAME}/git/"
    here = f"ssh://{NAME}@127.0.0.1:{door.port}{machine.project(NAME)}/git/"
    (made.home / ".gitconfig").write_text(f'[url "{here}"]\n\tinsteadOf = {address}\n')
    made.env["GIT_SSH_COMMAND"] = door.git_env
    return made


def _git(folder: Path, *words: str) -> str:
    ended = run(["git", *words], cwd=folder)
    assert ended.status == 0, ended.said
    return ended.output.strip()


def test_push_deploys_while_one_watches(machine: Machine, laptop: Laptop, port: int) -> None:
    tree = machine.work_tree(NAME, {"public/index.html": "first"})
    pushed = laptop.corpus("push", "prod", "web1", NAME, cwd=tree.folder)
    assert pushed.status == 0, pushed.said
    assert "remote: -----> Deploying" in pushed.errors
    assert "remote: =====> Deployed" in pushed.errors
    assert machine.page(port) == (200, "first")

    (tree.folder / "public/index.html").write_text("not committed")
    again = laptop.corpus("push", "prod", "web1", NAME, "--directory", str(tree.folder / "public"))
    assert again.status == 0
    assert "not committed is not pushed" in again.errors
    assert "Everything up-to-date" in again.errors
    _git(tree.folder, "checkout", "--quiet", ".")

    tree.commit({"public/index.html": "second"})
    planned = laptop.corpus("push", "prod", "web1", NAME, "--plan", cwd=tree.folder)
    assert planned.status == 0, planned.said
    assert "nothing was changed" in planned.errors
    assert "failed" not in planned.errors
    assert machine.page(port) == (200, "first")
    told = laptop.json("push", "prod", "web1", NAME, cwd=tree.folder)
    assert told["status"] == 0
    assert told["revision"] == _git(tree.folder, "rev-parse", "HEAD")
    assert machine.page(port) == (200, "second")

    tree.commit({".salt/configure.sls": "broken:\n  test.fail_without_changes:\n    - comment: not today\n"})
    refused = laptop.corpus("push", "prod", "web1", NAME, cwd=tree.folder)
    assert refused.status == 1
    assert "not today" in refused.errors
    assert machine.page(port) == (200, "second")
    quiet = laptop.corpus("push", "prod", "web1", NAME, "--json", cwd=tree.folder)
    assert quiet.status == 1
    assert json.loads(quiet.output)["status"] == 1
    assert "not today" in quiet.errors

    tree.commit({".salt/configure.sls": "{{ nothing.at.all }}\n"})
    would_fail = laptop.corpus("push", "prod", "web1", NAME, "--plan", "--json", cwd=tree.folder)
    assert would_fail.status == 1, would_fail.said


def test_a_pillar_is_pushed_first_and_deploys_when_nothing_else_is_new(
    machine: Machine, laptop: Laptop, port: int, tmp_path: Path
) -> None:
    pillar = tmp_path / "pillar"
    pillar.mkdir()
    (pillar / "init.sls").write_text(f"makina-projects:\n  {NAME}:\n    data: {{colour: red}}\n")
    tree = machine.clone(NAME, tmp_path / "tree")
    tree.folder.mkdir()
    tree.git("init", "--quiet", "--initial-branch=main")
    tree.commit({"public/index.html": "third"})
    before = len(machine.ok("mc_project.history", NAME))
    words = ("push", "prod", "web1", NAME, "--pillar", str(pillar), "--force")
    assert laptop.json(*words, cwd=tree.folder)["pillar"] == 0
    assert machine.page(port) == (200, "third")
    assert len(machine.ok("mc_project.history", NAME)) == before + 1
    assert machine.ok("mc_project.get_configuration", NAME)["data"]["colour"] == "red"

    _git(tree.folder, "config", "corpus.pillar", str(pillar))
    (pillar / "init.sls").write_text(f"makina-projects:\n  {NAME}:\n    data: {{colour: blue}}\n")
    pushed = laptop.corpus("push", "prod", "web1", NAME, cwd=tree.folder)
    assert pushed.status == 0, pushed.said
    assert "Deployed" in pushed.errors
    assert len(machine.ok("mc_project.history", NAME)) == before + 2
    assert machine.ok("mc_project.get_configuration", NAME)["data"]["colour"] == "blue"


def test_where_it_is_not_placed_nothing_is_pushed(machine: Machine, laptop: Laptop, tmp_path: Path) -> None:
    tree = machine.work_tree(f"{NAME}x", {"public/index.html": "x"})
    elsewhere = laptop.corpus("push", "prod", "web2", NAME, cwd=tree.folder)
    assert elsewhere.status == 4
    assert "corpus project_place prod" in elsewhere.errors
    assert laptop.corpus("push", "prod", "web1", "nothing", cwd=tree.folder).status == 4
    nowhere = laptop.corpus("push", "prod", "web1", NAME, cwd=tmp_path)
    assert nowhere.status == 2
    assert "no work tree" in nowhere.errors


def test_what_the_api_tells_of_a_project(laptop: Laptop) -> None:
    assert laptop.ok("projects", "prod").split("\t")[:2] == [NAME, "web1"]
    told = laptop.json("projects", "prod", NAME)
    assert told["roles"] == {"deployer": ["ada"]}
    assert laptop.json("deployments", "prod") == []
    assert laptop.json("deployments", "prod", NAME, "--failed", "--since", "2020-01-01") == []
    assert laptop.corpus("deployments", "prod", NAME, "20260131T120000Z-1a2b3c4d").status == 4
    assert laptop.json("stats", "prod", NAME)["deployments"] == 0
    assert laptop.json("scale", "prod", NAME, "web=2", "--plan")["kind"] == "project.scale"
    assert laptop.corpus("scale", "prod", NAME, "web=many").status == 2
    assert laptop.corpus("project_destroy", "prod", "-", NAME, "--yes").status == 3
    silent = laptop.corpus("status", "prod", NAME)
    assert silent.status in (1, 5)  # its minion is not there
    assert "Traceback" not in silent.said
