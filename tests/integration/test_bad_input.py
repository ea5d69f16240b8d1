"""Bad input: one clear sentence, an exit status that tells, the branch not moved, and the old page still served."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import Ended, Machine, WorkTree, digests, run

PAGE = {"public/index.html": "first"}


def served(machine: Machine, name: str, **settings: object) -> tuple[WorkTree, int]:
    """A project whose page says ``first``."""
    port = machine.init(name, document_root="public", **settings)["http_port"]
    tree = machine.work_tree(name, PAGE)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "first")
    return tree, port


def refused(tree: WorkTree, port: int, *words: str) -> Ended:
    """Push what must be refused; nothing of what people see may change."""
    before = tree.branch()
    ended = tree.push()
    assert ended.status != 0, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert "Unexpected" not in ended.said, ended.said
    last = [line for line in ended.errors.splitlines() if "=====>" in line]
    assert len(last) == 1, ended.said  # one sentence in the end
    for word in words:
        assert word in ended.errors, ended.said
    assert tree.branch() == before
    assert tree.machine.page(port) == (200, "first")
    return ended


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "über", "x" * 300], ids=lambda name: ascii(name)[:9])
def test_names_that_cannot_name_a_project(machine: Machine, name: str) -> None:
    before = digests(machine.projects)
    ended = machine.call("mc_project.init_project", name)
    assert ended.status != 0
    assert "cannot name a project" in ended.errors
    assert len(ended.errors.strip().splitlines()) == 1, ended.errors
    assert len(ended.errors) < 400
    assert digests(machine.projects) == before


def stored(tree: WorkTree, variants: dict[str, dict[str, str]]) -> None:
    """Push each variant as a branch of its own, all at once: none of them deploys."""
    for branch, files in variants.items():
        tree.git("checkout", "--quiet", "-b", branch, "main")
        tree.commit(files)
    tree.git("checkout", "--quiet", "main")
    pushed = tree.push(refs=" ".join(variants))
    assert pushed.status == 0, pushed.said


def fails(machine: Machine, name: str, revision: str, *words: str) -> None:
    """Deploy a variant: it fails in words, and the page stays."""
    ended = machine.call("mc_project.deploy_project", name, revision=revision)
    assert ended.status == 1, ended.said
    assert ended.answer["result"] is False
    for word in words:
        assert word in ended.answer["comment"], ended.said
    assert "Unexpected" not in ended.said, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert len(ended.answer["comment"].splitlines()) <= 2


def test_sls_that_are_broken(machine: Machine) -> None:
    """Jinja, YAML, an unknown state, a state that fails, one that hangs: the old version serves on."""
    tree, port = served(machine, "broken")

    def build(body: str) -> dict[str, str]:
        return {".salt/build.sls": body, "public/index.html": "never seen"}

    stored(
        tree,
        {
            "yaml": build("a:\n  cmd.run: [\n b"),
            "unknown": build("a:\n  nosuch.state:\n    - name: x\n"),
            "failing": build("a:\n  cmd.run:\n    - name: echo the reason >&2; exit 3\n"),
            "quoting": build("a:\n  mc_project.command:\n    - name: '\"unclosed'\n"),
        },
    )
    fails(machine, "broken", "yaml", "Stage build failed: Rendering SLS", "makina-projects.broken.build")
    fails(machine, "broken", "unknown", "Stage build failed", "nosuch.state")
    fails(machine, "broken", "failing", "Stage build failed: a (cmd.run)", "the reason")
    fails(machine, "broken", "quoting", "cannot be split into words")
    fails(machine, "broken", "no-such-branch", "There is no revision 'no-such-branch'")
    assert machine.page(port) == (200, "first")

    tree.commit(build("{% if %}"))
    refused(tree, port, "Stage build failed", "makina-projects.broken.build", "Jinja syntax error")

    hanging = "a:\n  mc_project.command:\n    - name: sh -c 'echo began; exec sleep 987'\n"
    tree.commit({**build(hanging), ".salt/PILLAR.sample": "timeout: 2\n"})
    refused(tree, port, "took longer than 2 seconds", "began")
    assert run(["pgrep", "-f", "^sleep 987$"]).output == ""  # and it left nothing running

    assert len(list((machine.project("broken") / "releases/failed").iterdir())) == 2
    newest = max((machine.project("broken") / "releases/failed").iterdir())
    assert (newest / "project/public/index.html").read_text() == "never seen"
    assert "took longer" in (newest / "log").read_text()

    (tree.folder / ".salt/PILLAR.sample").unlink()
    tree.commit({".salt/build.sls": "# well again\n", "public/index.html": "second"})
    assert tree.push().status == 0
    assert machine.page(port) == (200, "second")


def test_configuration_in_the_pushed_tree_that_cannot_be(machine: Machine) -> None:
    tree, port = served(machine, "wrongly")
    wrong = {
        "nearest": ("domian: x.example.org\n", "did you mean 'domain'"),
        "type": ("drain: soon\n", "drain is a "),
        "loop": ("url: '{pillar_url}'\npillar_url: '{url}'\n", "leads back to itself"),
        "jinja": ("{% broken", "PILLAR.sample does not render"),
        "list": ("- a list\n", "PILLAR.sample must hold a mapping"),
        "host": ("domain: 'a b; c'\n", "is no host name"),
    }
    samples = {branch: {".salt/PILLAR.sample": sample} for branch, (sample, _) in wrong.items()}
    stored(tree, {**samples, "file": {".salt": "a file, and no folder"}})
    for branch, (_, words) in wrong.items():
        fails(machine, "wrongly", branch, words)
    fails(machine, "wrongly", "file", ".salt is a file in the pushed tree")
    assert machine.page(port) == (200, "first")


def test_pushes_of_all_kinds(machine: Machine) -> None:
    tree, port = served(machine, "pushes")
    first = tree.branch()

    deleted = tree.push(refs=":main")
    assert deleted.status != 0
    assert "names what runs and is not deleted by a push" in deleted.errors
    assert tree.branch() == first

    second = tree.commit({"public/index.html": "second"})
    unknown = tree.push("-o", "dry")
    assert unknown.status != 0
    assert "There is no push option 'dry': use -o plan or -o no-deploy" in unknown.errors
    planned = tree.push("-o", "plan")
    assert planned.status != 0
    assert "Only planned (-o plan): main was not moved" in planned.errors
    assert (tree.branch(), machine.page(port)) == (first, (200, "first"))

    tree.git("tag", "v1")
    other = tree.push(refs="HEAD:topic/x v1")
    assert other.status == 0
    assert "topic/x, refs/tags/v1: stored. Only main deploys" in other.errors
    assert (tree.branch("topic/x"), machine.page(port)) == (second, (200, "first"))
    assert tree.push(refs=":topic/x").status == 0
    assert tree.branch("topic/x") == ""

    stored = tree.push("-o", "no-deploy")
    assert stored.status == 0
    assert "mc_project.deploy_project pushes deploys it" in stored.errors
    assert (tree.branch(), machine.page(port)) == (second, (200, "first"))
    assert machine.ok("mc_project.deploy_project", "pushes")["result"] is True
    assert machine.page(port) == (200, "second")

    empty = tree.commit()  # a commit without a change is deployed as any other
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert (tree.branch(), machine.page(port)) == (empty, (200, "second"))

    tree.git("reset", "--quiet", "--hard", first)
    forced = tree.commit({"public/index.html": "another history"})
    assert tree.push().status != 0
    assert tree.push("--force").status == 0
    assert (tree.branch(), machine.page(port)) == (forced, (200, "another history"))


def test_trees_without_a_salt_folder_and_with_a_link(machine: Machine) -> None:
    tree, port = served(machine, "bare")  # its tree has no .salt
    assert (machine.project("bare") / "project/.salt/configure.sls").is_file()
    tree.folder.joinpath(".salt").symlink_to("/etc")
    tree.commit({"public/index.html": "never seen"})
    refused(tree, port, ".salt is a link")
    assert not Path("/etc/configure.sls").exists()


@pytest.fixture
def small_machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose projects lie on a file system of 64 MB."""
    folder = Path(f"/tmp/corpus-small-{os.getpid()}")
    image, mount = tmp_path / "image", folder / "srv/projects"
    mount.mkdir(parents=True)
    with image.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    machine = Machine(folder)
    try:
        yield machine
    finally:
        machine.stop()
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


def test_a_full_disk(small_machine: Machine) -> None:
    """What is too large to be archived is refused before anything is touched; a stage that fills the disk is undone."""
    machine = small_machine
    tree, port = served(machine, "full", minimum_free=4)
    huge = machine.project("full") / "data/huge"
    with huge.open("wb") as stream:
        stream.write(os.urandom(26 << 20))
    tree.commit({"public/index.html": "never seen"})
    tight = refused(tree, port, "Stage archive failed")
    assert re.search(r"Too little disk space under .*: [0-9]+ MiB are needed, [0-9]+ MiB are free", tight.errors)
    huge.unlink()

    target = "{{ cfg.project_root }}/big"
    fill = f"fill:\n  mc_project.command:\n    - name: dd if=/dev/zero of={target} bs=1M count=100\n"
    tree.commit({".salt/build.sls": fill})
    refused(tree, port, "Stage build failed", "No space left on device")
    assert machine.ok("mc_project.status", "full")["interrupted"] is False
    assert [entry["result"] for entry in machine.ok("mc_project.history", "full")] == [False, False, True]

    tree.commit({".salt/build.sls": "# modest\n", "public/index.html": "second"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "second")

    with huge.open("wb") as stream:
        stream.write(os.urandom(26 << 20))
    tree.commit({"public/index.html": "third"})
    tight = tree.push()
    assert tight.status != 0, tight.said
    assert "Too little disk space under" in tight.errors
    assert machine.page(port) == (200, "second")


def test_push_that_another_one_overtook(machine: Machine) -> None:
    """What git tells a hook is what the branch named when the push began; deployed is only what still replaces that."""
    tree, port = served(machine, "overtaken")
    began = tree.branch()
    second = tree.commit({"public/index.html": "second"})
    assert tree.push().status == 0
    late = run(
        [
            "sh",
            "-c",
            f"echo 'update {began} {second} refs/heads/main' | {shlex.join(machine.argv('mc_project.receive', 'overtaken', 'project'))}",
        ]
    )
    assert late.status != 0
    assert "was moved by another push meanwhile: fetch it, and push again" in late.errors
    assert "accepted" not in late.output
    assert machine.page(port) == (200, "second")
