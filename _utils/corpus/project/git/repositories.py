"""git repositories: the bare ones that are pushed to, and the clones that become trees.

git runs as the project's user: a repository is its owner's, hooks and configuration included.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from corpus import identifiers, processes
from corpus.errors import CorpusError, UsageError

#: refs that keep the revisions of releases from being collected, invisible to those who push
_KEPT = "refs/corpus/releases"


def git(
    repository: Path,
    *words: str | Path,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> processes.Result:
    """Run git in a repository and return what it left.

    Nothing of a surrounding git (a hook's variables) is passed on, unless in ``env``.

    :param timeout: seconds after which it is killed
    """
    surrounding: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
    return processes.run(
        ["git", "-C", repository, *words],
        user=user,
        env={**surrounding, **_QUIET, **(env or {})},
        check=check,
        timeout=timeout,
    )


_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}


_SETTINGS = {
    "receive.advertisePushOptions": "true",
    "receive.denyDeletes": "false",
    "receive.denyNonFastForwards": "false",
    "transfer.hideRefs": "refs/corpus",
}


def init_bare(repository: Path, branch: str, user: str | None) -> None:
    """Make a bare repository whose HEAD is ``branch``; one that exists is set right."""
    if not (repository / "HEAD").exists():
        git(
            repository.parent,
            "init",
            "--quiet",
            "--bare",
            f"--initial-branch={branch}",
            repository,
            user=user,
        )
    for key, value in _SETTINGS.items():
        git(repository, "config", "--local", key, value, user=user)
    git(repository, "symbolic-ref", "HEAD", f"refs/heads/{branch}", user=user)


def unlike(repository: Path, branch: str, user: str | None) -> bool:
    """Tell whether :func:`init_bare` would change anything."""
    if not (repository / "HEAD").exists():
        return True
    have = git(repository, "config", "--local", "--list", user=user).output.lower().splitlines()
    set_right = all(f"{key}={value}".lower() in have for key, value in _SETTINGS.items())
    head_is = git(repository, "symbolic-ref", "HEAD", user=user, check=False).output.strip()
    return not set_right or head_is != f"refs/heads/{branch}"


def head(repository: Path, branch: str, user: str | None, env: Mapping[str, str] | None = None) -> str | None:
    """Return the revision a branch is at, or None when there is no such branch."""
    return revision(repository, f"refs/heads/{branch}", user, env)


def revision(repository: Path, name: str, user: str | None, env: Mapping[str, str] | None = None) -> str | None:
    """Return the full id of the commit that ``name`` names, or None."""
    found = git(
        repository,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{name}^{{commit}}",
        user=user,
        env=env,
        check=False,
    )
    value = found.output.strip()
    return value if found.status == 0 and identifiers.is_revision(value) else None


def commit_time(repository: Path, commit: str, user: str | None, env: Mapping[str, str] | None = None) -> int:
    """Return when a commit was made, in seconds since the epoch."""
    return int(git(repository, "show", "--no-patch", "--format=%ct", commit, user=user, env=env).output.strip())


def set_branch(repository: Path, branch: str, commit: str, user: str | None) -> None:
    """Make a branch of a bare repository name ``commit``."""
    git(repository, "update-ref", f"refs/heads/{branch}", commit, user=user)


def keep(repository: Path, revisions: Mapping[str, str], user: str | None) -> None:
    """Keep the revisions of releases, and of no others, from being collected as garbage.

    :param revisions: by release; one that the repository does not have (yet) is passed over
    """
    listed = git(repository, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", _KEPT, user=user).output
    have = dict(line.split() for line in listed.splitlines())
    for release in set(have) - set(revisions):
        git(repository, "update-ref", "-d", f"{_KEPT}/{release}", user=user)
    for release, commit in revisions.items():
        if have.get(release) != commit:
            git(repository, "update-ref", f"{_KEPT}/{release}", commit, user=user, check=False)


def check_out(
    bare: Path,
    tree: Path,
    commit: str | None,
    *,
    branch: str,
    url: str | None,
    user: str | None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Make ``tree``, an empty folder, a clone of ``bare`` with ``commit`` checked out.

    The clone borrows the objects of the bare repository. Its remotes are ``local`` (the bare one) and ``origin``
    (the distant one, when there is a url).

    :param commit: None: an empty tree on an unborn branch
    :param env: variables by which git reaches what a push brought that is not accepted yet
    """
    follows = (f"--config=branch.{branch}.remote=local", f"--config=branch.{branch}.merge=refs/heads/{branch}")
    git(tree, "clone", "--quiet", "--shared", "--no-checkout", "--origin=local", *follows, bare, ".", user=user)
    if url:  # remote `local` is there already: asking git for it takes time
        git(tree, "remote", "add", "origin", url, user=user)
    if commit is None:
        git(tree, "symbolic-ref", "HEAD", f"refs/heads/{branch}", user=user)
        return
    git(tree, "update-ref", "--no-deref", "HEAD", commit, user=user, env=env)
    git(tree, "checkout", "--quiet", "--force", "-B", branch, commit, user=user, env=env)
    if (tree / ".gitmodules").exists():
        git(tree, "submodule", "--quiet", "update", "--init", "--recursive", user=user, env=env)


def set_remotes(tree: Path, bare: Path, url: str | None, user: str | None) -> None:
    """Give a clone its two remotes."""
    present = _remotes(tree, user)
    for name, target in _wanted_remotes(bare, url).items():
        if target is None:
            if name in present:
                git(tree, "remote", "remove", name, user=user)
        elif name not in present:
            git(tree, "remote", "add", name, target, user=user)
        elif present[name] != target:
            git(tree, "remote", "set-url", name, target, user=user)


def remotes_differ(tree: Path, bare: Path, url: str | None, user: str | None) -> bool:
    """Tell whether :func:`set_remotes` would change anything."""
    if not (tree / ".git").is_dir():
        return True
    present = _remotes(tree, user)
    return any(present.get(name) != target for name, target in _wanted_remotes(bare, url).items())


def _wanted_remotes(bare: Path, url: str | None) -> dict[str, str | None]:
    return {"local": str(bare), "origin": url or None}


def _remotes(tree: Path, user: str | None) -> dict[str, str]:
    names = git(tree, "remote", user=user).output.split()
    return {name: git(tree, "remote", "get-url", name, user=user).output.strip() for name in names}


def clone(url: str, tree: Path, branch: str, user: str | None) -> None:
    """Clone a distant repository into an empty folder, remote ``origin``.

    :raises CorpusError: it cannot be reached, or has no such branch
    """
    if url.startswith("-"):
        raise UsageError(f"{identifiers.shown(url)} is no git url.")
    git(tree, "clone", "--quiet", "--origin=origin", f"--branch={branch}", "--", url, ".", user=user)


def fetch(repository: Path, url: str, branch: str, user: str | None) -> str:
    """Bring a branch of a distant repository into a bare one; return its revision.

    :raises CorpusError: it cannot be reached, or has no such branch
    """
    if url.startswith("-"):
        raise UsageError(f"{identifiers.shown(url)} is no git url.")
    done = git(
        repository,
        "fetch",
        "--quiet",
        "--",
        url,
        f"+refs/heads/{branch}:refs/heads/{branch}",
        user=user,
        check=False,
    )
    found = head(repository, branch, user)
    if done.status or found is None:
        raise CorpusError(f"Branch {branch} of {url} cannot be fetched: {done.last_words}")
    return found


def follow_origin(tree: Path, branch: str, user: str | None) -> str | None:
    """Bring a developer's clone up to its origin when that loses nothing.

    :returns: why it was left as it is, or None when it is up to date now
    """
    if "origin" not in git(tree, "remote", user=user).output.split():
        return "it has no remote 'origin'"
    fetched = git(tree, "fetch", "--quiet", "origin", branch, user=user, check=False)
    if fetched.status:
        return f"origin cannot be reached: {fetched.last_words}"
    if git(tree, "status", "--porcelain", "--untracked-files=no", user=user).output.strip():
        return "it has changes that are not committed"
    merged = git(tree, "merge", "--quiet", "--ff-only", "FETCH_HEAD", user=user, check=False)
    return None if merged.status == 0 else f"it cannot be fast-forwarded: {merged.last_words}"
