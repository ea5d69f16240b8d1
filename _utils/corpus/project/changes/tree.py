"""The files that differ between the tree of the release before and a new one.

What is under version control git compares, with numbers of lines; what a build made is compared here. Folders that a
package manager fills are left out: :mod:`corpus.project.changes.packages` tells what changed in them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import CorpusError
from corpus.project.git import repositories

#: folders of package managers and caches, anywhere in a tree
NOT_OURS = frozenset({".git", "venv", ".venv", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", "eggs"})
_ENTRIES = 20_000  # that are looked at in each tree
_SECONDS = 1.0
_BYTES = 8 << 20  # of built files that are read to compare them, in all
_GIT_SECONDS = 5


@dataclass(frozen=True)
class FileChange:
    """A file that changed.

    :param path: in the tree
    :param change: ``added``, ``changed``, ``removed`` or ``renamed``
    :param before: its path before it was renamed
    :param lines: that were added and removed; None: it is no text, or a build made it
    :param built: it is not under version control
    """

    path: str
    change: str
    before: str | None = None
    lines: tuple[int, int] | None = None
    built: bool = False


@dataclass(frozen=True)
class FileChanges:
    """All files that changed, by path.

    :param files: each
    :param complete: whether everything was compared; else there was too much
    :param total: how many files there are, when there was no release before to compare with
    """

    files: tuple[FileChange, ...] = ()
    complete: bool = True
    total: int | None = None


def committed(
    bare: Path, old: str, new: str, user: str | None, env: Mapping[str, str] | None = None
) -> list[FileChange] | None:
    """Return what git says of two revisions; None when it does not know one of them."""
    if old == new:
        return []
    words: tuple[str, ...] = ("diff-tree", "-r", "-z", "-M", "-l400", "--raw", "--numstat", old, new, "--")
    try:
        done = repositories.git(bare, *words, user=user, env=env, check=False, timeout=_GIT_SECONDS)
    except CorpusError:  # too many lines to count: the names alone
        words = ("diff-tree", "-r", "-z", "--no-renames", "--raw", old, new, "--")
        done = repositories.git(bare, *words, user=user, env=env, check=False)
    return None if done.status else list(_parsed(done.output.split("\0")))


def _parsed(parts: list[str]) -> Iterator[FileChange]:
    """Read git's raw format with numbers of lines (git-diff-tree(1)): first all names, then all numbers."""
    words = iter(parts)
    names: list[tuple[str, str, str | None]] = []
    lines: dict[str, tuple[int, int] | None] = {}
    for word in words:
        if word.startswith(":"):
            letter = word.rsplit(" ", 1)[-1][:1]
            before = next(words) if letter in "RC" else None
            names.append((letter, next(words), before))
        elif "\t" in word:
            added, removed, path = word.split("\t", 2)
            if not path:  # a rename: both names follow
                next(words)
                path = next(words)
            lines[path] = (int(added), int(removed)) if added != "-" else None
    changes = {"A": "added", "D": "removed", "R": "renamed", "C": "added"}
    for letter, path, before in names:
        if not _of_packages(path):
            yield FileChange(path, changes.get(letter, "changed"), before if letter == "R" else None, lines.get(path))


def tracked(bare: Path, revision: str, user: str | None, env: Mapping[str, str] | None = None) -> set[str]:
    """Return the paths that a revision holds."""
    done = repositories.git(
        bare, "ls-tree", "-r", "-z", "--name-only", "--full-tree", revision, "--", user=user, env=env, check=False
    )
    return set(done.output.split("\0")) - {""}


def built(old: Path, new: Path, known: set[str]) -> FileChanges:
    """Compare two trees by what lies in them.

    :param known: paths to leave out, because git told of them
    """
    until = time.monotonic() + _SECONDS
    before, whole_before = _entries(old, known, until)
    after, whole_after = _entries(new, known, until)
    found, budget, complete = [], _BYTES, whole_before and whole_after
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one is None or other is None:
            if complete:  # else it may only not have been come to
                found.append(FileChange(path, "added" if one is None else "removed", built=True))
            continue
        if (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev):
            continue
        if stat.S_IFMT(one.st_mode) == stat.S_IFMT(other.st_mode) and one.st_size == other.st_size:
            budget -= 2 * one.st_size
            if budget < 0 or time.monotonic() > until:
                complete = False
                continue
            if _content(old / path) == _content(new / path):
                continue
        found.append(FileChange(path, "changed", built=True))
    return FileChanges(tuple(found), complete)


def beginning(tree: Path, known: set[str] | None) -> FileChanges:
    """Return how many files the first tree of a project holds, beside those of package managers.

    :param known: paths that are under version control; None: git tells nothing of this tree
    """
    if known is not None:
        return FileChanges(total=sum(not _of_packages(path) for path in known))
    entries, complete = _entries(tree, set(), time.monotonic() + _SECONDS)
    return FileChanges(complete=complete, total=len(entries))


def _entries(tree: Path, known: set[str], until: float) -> tuple[dict[str, os.stat_result], bool]:
    """Return the files and links below a tree by path, and whether that is all."""
    found: dict[str, os.stat_result] = {}
    folders, seen = [""], 0
    while folders:
        folder = folders.pop()
        with suppress(OSError), os.scandir(tree / folder) as entries:
            for entry in entries:
                seen += 1
                if seen > _ENTRIES or time.monotonic() > until:
                    return found, False
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in NOT_OURS and not (entry.name == "vendor" and _composer(Path(entry.path))):
                        folders.append(f"{path}/")
                elif path not in known:
                    with suppress(OSError):
                        found[path] = entry.stat(follow_symlinks=False)
    return found, True


def _of_packages(path: str) -> bool:
    return not NOT_OURS.isdisjoint(path.split("/")[:-1])


def _composer(vendor: Path) -> bool:
    return (vendor / "composer").is_dir()


def _content(path: Path) -> bytes | None:
    """Return what a file holds, or where a link leads; None for what is neither."""
    return os.fsencode(os.readlink(path)) if path.is_symlink() else plain_content(path)


def plain_content(path: Path, limit: int = _BYTES) -> bytes | None:
    """Return what a plain file holds; None when it is a link, a pipe, larger than ``limit`` bytes, or not there.

    What lies in a tree is its user's: nothing is followed, and nothing may make us wait.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        return stream.read(limit)
