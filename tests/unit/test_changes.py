"""What lies between two releases: commits, files, packages, process types."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from corpus.project.changes import commits, packages, services, tree
from corpus.project.changes.services import Service, ServiceChange

IDENTITY = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    for name, content in files.items():
        (folder / name).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def test_commits_forward_backward_rewritten_and_first(work: Path) -> None:
    one = commit(work, "one")
    two = commit(work, f="x", message=f"two\t\x1b[31m{'x' * 300}\n\nbody")
    git(work, "revert", "--no-edit", two)
    three = git(work, "rev-parse", "HEAD")
    forward = commits.between(work / ".git", one, three, None)
    assert forward is not None
    assert [each.revision for each in forward.brought] == [three, two]
    assert forward.brought[0].reverts == two
    assert len(forward.brought[1].subject) == 200
    assert forward.brought[1].subject.isprintable()
    back = commits.between(work / ".git", three, one, None)
    assert back is not None
    assert ([each.revision for each in back.left], back.brought, back.rewritten) == ([three, two], (), False)
    git(work, "reset", "--quiet", "--hard", one)
    other = commit(work, "other")
    rewritten = commits.between(work / ".git", three, other, None)
    assert rewritten is not None
    assert (len(rewritten.brought), len(rewritten.left), rewritten.rewritten) == (1, 2, True)
    for gone in (None, "0" * 39 + "1"):
        first = commits.between(work / ".git", gone, other, None)
        assert first is not None
        assert (first.first, [each.subject for each in first.brought]) == (True, ["other", "one"])
    assert commits.between(work / ".git", one, "0" * 39 + "1", None) is None


def test_files_that_git_compares(work: Path) -> None:
    long = "".join(f"{number}\n" for number in range(50))
    old = commit(work, "one", kept="x", changed="a\nb\n", moved=long, **{"with\ttab": "x"})
    git(work, "mv", "moved", "new name")
    (work / "with\ttab").unlink()
    (work / "node_modules").mkdir()
    (work / "node_modules/x").touch()
    (work / "picture").write_bytes(b"\0\1")
    new = commit(work, "two", changed="a\nc\nd\n")
    found = tree.committed(work / ".git", old, new, None)
    assert found is not None
    assert {(each.path, each.change, each.before, each.lines) for each in found} == {
        ("changed", "changed", None, (2, 1)),
        ("new name", "renamed", "moved", (0, 0)),
        ("picture", "added", None, None),
        ("with\ttab", "removed", None, (0, 1)),
    }
    assert "changed" in tree.tracked(work / ".git", new, None)


def test_files_that_builds_made(tmp_path: Path) -> None:
    for name in ("old", "new"):
        for folder in ("static", "venv/lib", "node_modules/x"):
            (tmp_path / name / folder).mkdir(parents=True)
        (tmp_path / name / "venv/lib/file").write_text(name)
        (tmp_path / name / "static/same").write_text("same")
        (tmp_path / name / "static/one").write_text(f"{name} of one size")
        (tmp_path / name / "known").write_text(name * 2)
        (tmp_path / name / "link").symlink_to(name)
    os.mkfifo(tmp_path / "new/pipe")  # nobody waits for it
    (tmp_path / "old/gone").touch()
    found = tree.built(tmp_path / "old", tmp_path / "new", {"known"})
    assert found.complete
    assert [(each.path, each.change, each.built) for each in found.files] == [
        ("gone", "removed", True),
        ("link", "changed", True),
        ("pipe", "added", True),
        ("static/one", "changed", True),
    ]
    assert tree.plain_content(tmp_path / "new/pipe") is None
    assert tree.plain_content(tmp_path / "new/link") is None


def test_packages_of_a_tree(tmp_path: Path) -> None:
    for name in (
        "venv/lib/python3.11/site-packages/Foo_Bar-1.0.dist-info",
        "eggs/Products.CMFPlone-6.0-py3.11.egg",
        "node_modules/.pnpm/@scope+deep@2.0.0_react@18.0.0",
        "vendor/composer",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "vendor/composer/installed.json").write_text('{"packages": [{"name": "a/b", "version": "v3"}, 7]}')
    assert packages.of_tree(tmp_path) == {
        ("python", "foo-bar"): "1.0",
        ("python", "products-cmfplone"): "6.0",
        ("npm", "@scope/deep"): "2.0.0",
        ("composer", "a/b"): "v3",
    }
    listed = {
        "node_modules/x": {"version": "1"},
        "node_modules/y/node_modules/x": {"version": "2"},
        "z": {"link": True},
    }
    (tmp_path / "node_modules/.package-lock.json").write_text(json.dumps({"packages": listed}))
    assert packages.of_tree(tmp_path)[("npm", "x")] == "1, 2"
    (tmp_path / "node_modules/.package-lock.json").write_text("[")
    assert ("npm", "@scope/deep") in packages.of_tree(tmp_path)


def test_packages_of_the_system(tmp_path: Path) -> None:
    def stanza(name: str, version: str, status: str = "install ok installed") -> str:
        return f"Package: {name}\nStatus: {status}\nVersion: {version}\nDescription: x\n Package: not this\n\n"

    status = tmp_path / "status"
    status.write_text(stanza("kept", "1") + stanza("old", "1") + stanza("gone", "1"))
    system = packages.System(status)
    assert system.changes() == []
    status.write_text(stanza("kept", "1") + stanza("old", "2") + stanza("gone", "1", "deinstall ok config-files"))
    assert [(each.name, each.old, each.new) for each in system.changes()] == [("gone", "1", None), ("old", "1", "2")]
    assert packages.System(tmp_path / "none").changes() == []


def test_process_types() -> None:
    def specification(**commands: tuple[str, int]) -> dict[str, object]:
        return {
            "processes": {
                f"{kind}.{number}": {"type": kind, "argv": ["/bin/sh", "-c", f"exec {command}"]}
                for kind, (command, count) in commands.items()
                for number in range(1, count + 1)
            }
        }

    before = specification(web=("serve", 1), worker=("work", 2), same=("x", 1))
    after = specification(web=("serve", 3), clock=("tick", 1), same=("x", 1))
    assert services.between(before, after) == [
        ServiceChange("clock", None, Service("tick", 1)),
        ServiceChange("web", Service("serve", 1), Service("serve", 3)),
        ServiceChange("worker", Service("work", 2), None),
    ]
