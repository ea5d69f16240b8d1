"""A push, as git does it: what a project's remotes get, from a work tree or from a plain folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import ClientError, WrongUse

#: What a guest says of a push that was only planned, and of one that would fail.
_ONLY_PLANNED, _WOULD_FAIL = "Only planned (-o plan)", "It would fail."
#: Who commits a folder that is no repository.
_NOBODY = ("-c", "user.name=corpus", "-c", "user.email=corpus@localhost", "-c", "commit.gpgSign=false")


def tree(folder: Path) -> Path:
    """Return the work tree that a folder is in.

    :raises WrongUse: it is in none
    """
    found = _git(folder, "rev-parse", "--show-toplevel")
    if found.returncode:
        raise WrongUse(f"{folder} is no work tree of git: call it in the project's, or name that by --directory.")
    return Path(found.stdout.strip())


def configured(folder: Path, key: str) -> str | None:
    """Return a value of a work tree's git configuration."""
    return _git(folder, "config", "--get", key).stdout.strip() or None


def revision(folder: Path, ref: str) -> str:
    """Return the commit that a name stands for.

    :raises WrongUse: there is none
    """
    found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode:
        raise WrongUse(f"{folder} has no commit {ref}: commit first.")
    return found.stdout.strip()


def dirty(folder: Path) -> bool:
    """Tell whether a work tree has changes that are not committed: they are not pushed."""
    return bool(_git(folder, "status", "--porcelain", "--untracked-files=no").stdout.strip())


def there(folder: Path, url: str, branch: str) -> str | None:
    """Return the commit that a remote's branch is at; None: it has no such branch.

    :raises ClientError: it cannot be reached
    """
    found = _git(folder, "ls-remote", "--heads", "--", url, f"refs/heads/{branch}")
    if found.returncode:
        why = found.stderr.strip().splitlines()
        raise ClientError(f"{url} cannot be reached: {why[0] if why else 'git does not say why'}", found.returncode)
    return found.stdout.split()[0] if found.stdout.strip() else None


def push(folder: Path, url: str, refspec: str, options: Sequence[str], quiet: bool) -> int:
    """Push a work tree, its remote's lines streaming through; return git's exit status.

    :param refspec: such as ``HEAD:main``
    :param options: more words for ``git push``
    :param quiet: show git's words only when it fails
    """
    return _pushed(_argv(folder, "push", *options, "--", url, refspec), quiet)


def planned(folder: Path, url: str, refspec: str, options: Sequence[str], quiet: bool) -> int:
    """Let a guest tell what a push would change; return 0 when that would do, or git's exit status.

    git's own cannot tell: the guest refuses a push that is only planned, whatever it thinks of it.
    """
    argv = _argv(folder, "push", "-o", "plan", *options, "--", url, refspec)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as git:
        said = ""
        for line in git.stdout or ():
            said += line
            if not quiet and _ONLY_PLANNED not in said:
                sys.stderr.write(line)
                sys.stderr.flush()
    if _ONLY_PLANNED not in said:
        if quiet:
            sys.stderr.write(said)
        return git.returncode
    return 1 if _WOULD_FAIL in said else 0


def push_folder(folder: Path, url: str, branch: str, options: Sequence[str], quiet: bool) -> int:
    """Push what a plain folder holds as the next commit of a branch, unless that has it; return git's exit status."""
    last = there(folder, url, branch)
    with tempfile.TemporaryDirectory(prefix="corpus-") as place:
        bare = ["--git-dir", place, "--work-tree", str(folder)]

        def git(*words: str) -> subprocess.CompletedProcess[str]:
            return _git(folder, *bare, *_NOBODY, *words)

        _good(git("init", "--quiet"))
        if last is not None:
            _good(git("fetch", "--quiet", "--depth=1", "--", url, branch))
            _good(git("update-ref", "HEAD", "FETCH_HEAD"))
        _good(git("add", "--all", "--force"))
        if last is not None and git("diff", "--cached", "--quiet").returncode == 0:
            return 0
        _good(git("commit", "--quiet", "--allow-empty", "-m", f"What {folder.resolve().name} holds"))
        return _pushed(_argv(folder, *bare, "push", *options, "--", url, f"HEAD:{branch}"), quiet)


def _pushed(argv: Sequence[str], quiet: bool) -> int:
    if not quiet:
        return subprocess.run(argv, check=False).returncode
    ended = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        sys.stderr.write(ended.stdout)
    return ended.returncode


def _argv(folder: Path, *words: str) -> list[str]:
    if shutil.which("git") is None:
        raise ClientError("There is no git on this machine: install it.")
    return ["git", "-C", str(folder), *words]


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_argv(folder, *words), capture_output=True, text=True, check=False)


def _good(ended: subprocess.CompletedProcess[str]) -> None:
    if ended.returncode:
        raise ClientError(f"git failed: {ended.stderr.strip()}", ended.returncode)
