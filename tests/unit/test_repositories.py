"""Bare repositories and clones, with real git."""

import os
import subprocess
from pathlib import Path

import pytest
from corpus.errors import CorpusError, UsageError
from corpus.project.git import repositories
from corpus.project.git.push import Push

from tests.machine import IDENTITY


def git(folder: Path, *words: str, **env: str) -> str:
    """git as a person runs it."""
    return subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **IDENTITY, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    repository = tmp_path / "project.git"
    repositories.init_bare(repository, "main", None)
    return repository


@pytest.fixture
def work(tmp_path: Path, bare: Path) -> Path:
    """A person's clone with two pushed commits."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        commit(folder, f"version {number}")
    git(folder, "push", "--quiet", str(bare), "main")
    return folder


def commit(folder: Path, content: str) -> str:
    (folder / "page").write_text(content)
    git(folder, "add", "page")
    git(folder, "commit", "--quiet", "-m", content)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def check_out(bare: Path, tree: Path, commit: str | None, url: str | None = None, **env: str) -> None:
    repositories.check_out(bare, tree, commit, branch="main", url=url, user=None, env=env)


def test_a_bare_repository_takes_pushes_with_options_and_force(bare: Path, work: Path) -> None:
    git(work, "reset", "--quiet", "--hard", "HEAD~1")
    git(work, "push", "--quiet", "--force", "-o", "plan", str(bare), "main")
    assert repositories.head(bare, "main", None) == git(work, "rev-parse", "HEAD")


def test_a_bare_repository_is_set_right_again(bare: Path) -> None:
    assert not repositories.unlike(bare, "main", None)
    assert repositories.unlike(bare, "production", None)
    git(bare, "config", "receive.denyNonFastForwards", "true")
    assert repositories.unlike(bare, "main", None)
    repositories.init_bare(bare, "production", None)
    assert not repositories.unlike(bare, "production", None)
    assert repositories.unlike(bare / "no", "main", None)


def test_a_commit_is_checked_out_on_its_branch(bare: Path, work: Path, tree: Path) -> None:
    first = git(work, "rev-parse", "HEAD~1")
    check_out(bare, tree, first)
    assert (tree / "page").read_text() == "version 1"
    assert git(tree, "rev-parse", "HEAD") == first
    assert git(tree, "symbolic-ref", "--short", "HEAD") == "main"
    assert git(tree, "status", "--porcelain") == ""


def test_without_a_commit_there_is_an_unborn_branch(bare: Path, tree: Path) -> None:
    check_out(bare, tree, None)
    assert git(tree, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert [path.name for path in tree.iterdir()] == [".git"]


def test_a_commit_that_is_nowhere_is_an_error(bare: Path, tree: Path) -> None:
    with pytest.raises(CorpusError, match="git failed"):
        check_out(bare, tree, "a" * 40)


def test_a_push_that_is_not_accepted_yet_is_checked_out(bare: Path, work: Path, tree: Path, tmp_path: Path) -> None:
    """In the hook of a real push: the objects are in quarantine, and the repository does not have them."""
    new = commit(work, "version 3")
    seen = tmp_path / "seen"
    hook = bare / "hooks/pre-receive"
    hook.write_text(
        f'#!/bin/sh\necho "quarantine $GIT_QUARANTINE_PATH" > {seen}\n'
        f"cp -r $GIT_QUARANTINE_PATH {tmp_path}/kept\nexit 1\n"
    )
    hook.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        git(work, "push", "--quiet", str(bare), "main")
    env = Push.read(bare, seen.read_text().splitlines()).env
    assert repositories.revision(bare, new, None, env) is None, "git has removed it by now"
    quarantine = bare / "objects" / "incoming-abc"
    (tmp_path / "kept").rename(quarantine)
    env = Push.read(bare, [f"quarantine {quarantine}"]).env
    assert repositories.revision(bare, new, None) is None
    assert repositories.revision(bare, new, None, env) == new
    assert repositories.commit_time(bare, new, None, env) == int(git(work, "log", "-1", "--format=%ct"))
    check_out(bare, tree, new, **env)
    assert (tree / "page").read_text() == "version 3"
    assert git(tree, "symbolic-ref", "--short", "HEAD") == "main"


def test_gits_own_variables_of_a_hook_do_not_leak(
    bare: Path, work: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(work / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/no/where/index")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/no/where")
    head = repositories.head(bare, "main", None)
    check_out(bare, tree, head)
    assert (tree / "page").read_text() == "version 2"


def test_a_clone_takes_no_copy_of_the_objects(bare: Path, work: Path, tree: Path) -> None:
    check_out(bare, tree, repositories.head(bare, "main", None))
    assert (tree / ".git/objects/info/alternates").read_text().strip() == str(bare / "objects")


def remotes(tree: Path) -> dict[str, str]:
    return {name: git(tree, "remote", "get-url", name) for name in git(tree, "remote").split()}


def test_remotes(bare: Path, work: Path, tree: Path) -> None:
    assert repositories.remotes_differ(tree, bare, None, None)
    check_out(bare, tree, None, url="https://example.org/a.git")
    assert remotes(tree) == {"local": str(bare), "origin": "https://example.org/a.git"}
    assert not repositories.remotes_differ(tree, bare, "https://example.org/a.git", None)
    for url in ("https://example.org/b.git", None, "https://example.org/c.git"):
        assert repositories.remotes_differ(tree, bare, url, None)
        repositories.set_remotes(tree, bare, url, None)
        assert not repositories.remotes_differ(tree, bare, url, None)
        assert remotes(tree) == {"local": str(bare), **({"origin": url} if url else {})}


def test_remotes_that_a_person_added_stay(bare: Path, tree: Path) -> None:
    check_out(bare, tree, None)
    git(tree, "remote", "add", "mine", "/x")
    repositories.set_remotes(tree, bare, None, None)
    assert remotes(tree) == {"local": str(bare), "mine": "/x"}


def test_local_is_set_right_when_the_project_moved(bare: Path, tree: Path) -> None:
    check_out(bare, tree, None)
    git(tree, "remote", "set-url", "local", "/old/place")
    assert repositories.remotes_differ(tree, bare, None, None)
    repositories.set_remotes(tree, bare, None, None)
    assert remotes(tree)["local"] == str(bare)


RELEASES = [f"2026010{day}T000000Z-0000000{day}" for day in range(1, 4)]


def test_the_revisions_of_releases_are_kept_and_those_of_others_not(bare: Path, work: Path) -> None:
    second, first = git(work, "rev-parse", "HEAD", "HEAD~1").split()
    repositories.keep(bare, {RELEASES[0]: first, RELEASES[1]: second}, None)
    git(work, "checkout", "--quiet", "--orphan", "other")
    commit(work, "another story")
    git(work, "push", "--quiet", "--force", str(bare), "other:main")
    prune(bare)
    assert repositories.revision(bare, second, None) == second
    repositories.keep(bare, {RELEASES[0]: first}, None)
    prune(bare)
    assert repositories.revision(bare, second, None) is None
    assert repositories.revision(bare, first, None) == first


def prune(bare: Path) -> None:
    git(bare, "reflog", "expire", "--expire=now", "--all")
    git(bare, "gc", "--quiet", "--prune=now")


def test_kept_revisions_are_passed_over_when_they_are_not_there(bare: Path, work: Path) -> None:
    head = git(work, "rev-parse", "HEAD")
    repositories.keep(bare, {RELEASES[0]: "a" * 40, RELEASES[1]: head}, None)
    assert git(bare, "for-each-ref", "--format=%(refname)", "refs/corpus").splitlines() == [
        f"refs/corpus/releases/{RELEASES[1]}"
    ]


def test_who_pushes_neither_sees_nor_moves_kept_revisions(bare: Path, work: Path) -> None:
    repositories.keep(bare, {RELEASES[0]: git(work, "rev-parse", "HEAD")}, None)
    assert "refs/corpus" not in git(work, "ls-remote", str(bare))
    for refs in (f"HEAD:refs/corpus/releases/{RELEASES[1]}", f":refs/corpus/releases/{RELEASES[0]}"):
        with pytest.raises(subprocess.CalledProcessError):
            git(work, "push", "--quiet", str(bare), refs)


@pytest.mark.parametrize("name", ["main", "refs/heads/main", "HEAD", "v1"])
def test_revisions_are_found_by_every_name(bare: Path, work: Path, name: str) -> None:
    git(work, "tag", "-a", "-m", "one", "v1")
    git(work, "push", "--quiet", str(bare), "v1")
    assert repositories.revision(bare, name, None) == git(work, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "name", ["", "nonesuch", "--help", "-1", "main:page", "main^{tree}", "a" * 40, "main\nx", "x" * 9999]
)
def test_what_names_no_revision(bare: Path, work: Path, name: str) -> None:
    assert repositories.revision(bare, name, None) is None


def test_set_branch(bare: Path, work: Path) -> None:
    first = git(work, "rev-parse", "HEAD~1")
    repositories.set_branch(bare, "main", first, None)
    assert repositories.head(bare, "main", None) == first
    assert repositories.head(bare, "other", None) is None


@pytest.fixture
def origin(tmp_path: Path, work: Path) -> Path:
    """The distant repository."""
    repository = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(work), str(repository))
    return repository


def test_a_branch_of_a_distant_repository_is_fetched(tmp_path: Path, origin: Path, work: Path) -> None:
    fresh = tmp_path / "fresh.git"
    repositories.init_bare(fresh, "main", None)
    assert repositories.fetch(fresh, str(origin), "main", None) == git(work, "rev-parse", "HEAD")
    git(work, "commit", "--quiet", "--amend", "-m", "rewritten")
    git(work, "push", "--quiet", "--force", str(origin), "main")
    assert repositories.fetch(fresh, str(origin), "main", None) == git(work, "rev-parse", "HEAD")


@pytest.mark.parametrize(("url", "branch"), [("/no/where", "main"), ("{origin}", "nonesuch")])
def test_what_cannot_be_fetched_is_named(bare: Path, origin: Path, url: str, branch: str) -> None:
    with pytest.raises(CorpusError, match=f"Branch {branch} of .* cannot be fetched: "):
        repositories.fetch(bare, url.format(origin=origin), branch, None)


@pytest.mark.parametrize("url", ["--upload-pack=touch /tmp/pwned", "-x"])
def test_a_url_is_no_option(bare: Path, tree: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is no git url"):
        repositories.fetch(bare, url, "main", None)
    with pytest.raises(UsageError, match="is no git url"):
        repositories.clone(url, tree, "main", None)


def test_a_developers_clone_follows_its_origin(origin: Path, work: Path, tree: Path) -> None:
    repositories.clone(str(origin), tree, "main", None)
    assert remotes(tree) == {"origin": str(origin)}
    commit(work, "version 3")
    git(work, "push", "--quiet", str(origin), "main")
    assert repositories.follow_origin(tree, "main", None) is None
    assert (tree / "page").read_text() == "version 3"
    assert repositories.follow_origin(tree, "main", None) is None


def test_a_developers_work_is_never_lost(origin: Path, work: Path, tree: Path) -> None:
    repositories.clone(str(origin), tree, "main", None)
    commit(work, "version 3")
    git(work, "push", "--quiet", str(origin), "main")
    (tree / "page").write_text("under my hands")
    (tree / "new").write_text("not added")
    assert repositories.follow_origin(tree, "main", None) == "it has changes that are not committed"
    assert (tree / "page").read_text() == "under my hands"
    commit(tree, "my own commit")
    assert str(repositories.follow_origin(tree, "main", None)).startswith("it cannot be fast-forwarded")
    assert (tree / "page").read_text() == "my own commit"


def test_an_origin_that_is_away_is_said(origin: Path, tree: Path, tmp_path: Path) -> None:
    repositories.clone(str(origin), tree, "main", None)
    origin.rename(tmp_path / "moved")
    assert str(repositories.follow_origin(tree, "main", None)).startswith("origin cannot be reached: ")
    git(tree, "remote", "remove", "origin")
    assert repositories.follow_origin(tree, "main", None) == "it has no remote 'origin'"
