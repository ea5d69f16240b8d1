"""A push by an ordinary person's ssh key: through a real sshd, as the project's own user, who can do nothing else."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import Ended, Machine, run
from tests.sshd import Door, opened

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making users needs root")


@pytest.fixture(scope="module")
def door(machine: Machine) -> Iterator[Door]:
    with opened(machine.folder / "sshd") as door:
        yield door


@pytest.fixture
def project(machine: Machine, door: Door) -> Iterator[tuple[str, int]]:
    name = f"sshtest{os.getpid()}"
    public = (door.key.with_suffix(".pub")).read_text().strip()
    settings = machine.init(name, installer="static", user=name, authorized_keys=[public])
    yield name, settings["http_port"]
    machine.ok("mc_project.destroy_project", name, confirm=name)


def test_push_by_key_deploys_and_can_do_nothing_else(machine: Machine, door: Door, project: tuple[str, int]) -> None:
    name, port = project
    assert pwd.getpwnam(name).pw_shell.endswith("git-shell")
    tree = machine.work_tree(name, {"public/index.html": "first"})
    remote = f"ssh://{name}@127.0.0.1:{door.port}{machine.project(name)}/git/project.git"

    def push(*words: str) -> Ended:
        command = ["git", "push", *words, remote, "HEAD:main"]
        return run(command, cwd=tree.folder, env={"GIT_SSH_COMMAND": door.git_env})

    pushed = push()
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "first")
    assert (machine.project(name) / "project/public/index.html").owner() == name
    assert machine.ok("mc_project.history", name)[0]["who"] == "ada@laptop from 127.0.0.1"

    tree.commit({".salt/configure.sls": "broken:\n  test.fail_without_changes:\n    - comment: not today\n"})
    refused = push()
    assert refused.status != 0
    assert "not today" in refused.errors
    assert machine.page(port) == (200, "first")

    for words in ([], ["id"], ["cat", "/etc/passwd"], ["git-upload-archive", "/etc"]):
        assert door.ssh(name, *words).status != 0
        assert "uid=" not in door.ssh(name, *words).output
    forwarded = run(["ssh", "-p", str(door.port), *door.options, "-W", f"127.0.0.1:{port}", f"{name}@127.0.0.1"])
    assert forwarded.status != 0

    salt_call = machine.argv("test.ping")[0]
    become_root = run(["runuser", "-u", name, "--", "sudo", "-n", salt_call, "--local", "test.ping"])
    assert become_root.status != 0
    other = run(["runuser", "-u", name, "--", "sudo", "-n", *machine.argv("mc_project.receive", "other", "project")])
    assert other.status != 0


def test_destroyed_project_takes_its_user_and_its_rights_along(machine: Machine, door: Door) -> None:
    name = f"sshgone{os.getpid()}"
    machine.init(name, user=name)
    assert Path(f"/etc/sudoers.d/corpus-{name}").exists()
    machine.ok("mc_project.destroy_project", name, confirm=name)
    assert not Path(f"/etc/sudoers.d/corpus-{name}").exists()
    with pytest.raises(KeyError):
        pwd.getpwnam(name)
