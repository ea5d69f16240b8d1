"""Pushes with real git: from work trees, and from folders that are none."""

from pathlib import Path

import pytest
from corpus.client import pushing
from corpus.client.errors import ClientError, WrongUse

from tests.machine import IDENTITY, run


def _git(folder: Path, *words: str) -> str:
    ended = run(["git", *words], cwd=folder, env=IDENTITY)
    assert ended.status == 0, ended.said
    return ended.output.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "bare.git")])
    return tmp_path / "bare.git"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/deep").mkdir(parents=True)
    folder = tmp_path / "tree"
    (folder / "page").write_text("one")
    _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "First")
    return folder


def test_what_is_committed_is_pushed(tree: Path, bare: Path) -> None:
    assert pushing.tree(tree / "deep") == tree
    head = pushing.revision(tree, "HEAD")
    assert pushing.there(tree, str(bare), "main") is None
    assert pushing.push(tree, str(bare), f"{head}:refs/heads/main", [], quiet=True) == 0
    assert pushing.there(tree, str(bare), "main") == head
    assert not pushing.dirty(tree)
    (tree / "page").write_text("two")
    assert pushing.dirty(tree)


def test_what_git_refuses_is_its_status(tree: Path, bare: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hook = bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho not today\nexit 1\n")
    hook.chmod(0o755)
    assert pushing.push(tree, str(bare), "HEAD:refs/heads/main", [], quiet=True) == 1
    assert "not today" in capfd.readouterr().err


def test_a_folder_is_pushed_as_the_next_commit_and_only_when_it_changed(tmp_path: Path, bare: Path) -> None:
    folder = tmp_path / "pillar"
    folder.mkdir()
    (folder / "init.sls").write_text("a: 1\n")
    for content, count in (("a: 1\n", "1"), ("a: 1\n", "1"), ("a: 2\n", "2")):
        (folder / "init.sls").write_text(content)
        assert pushing.push_folder(folder, str(bare), "main", [], quiet=True) == 0
        assert _git(bare, "rev-list", "--count", "main") == count
        assert _git(bare, "show", "main:init.sls") == content.strip()
    (folder / "init.sls").unlink()
    (folder / "other.sls").write_text("")
    assert pushing.push_folder(folder, str(bare), "main", [], quiet=True) == 0
    assert _git(bare, "ls-tree", "--name-only", "main") == "other.sls"
    assert not (folder / ".git").exists()


def test_what_is_wrong_is_said(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(WrongUse, match="no work tree"):
        pushing.tree(tmp_path)
    with pytest.raises(WrongUse, match="no commit v9"):
        pushing.revision(tree, "v9")
    with pytest.raises(ClientError, match="cannot be reached"):
        pushing.there(tree, str(tmp_path / "none.git"), "main")
