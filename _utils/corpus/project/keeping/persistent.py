"""Folders of a tree that outlive it: they lie in ``data/``, and every release's tree has a link there.

What is made anew by every release although it lies inside such a folder (a cache of compiled code) stays with the
release: ``data/`` has a link at its place, which each release sees lead into its own tree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from corpus import identifiers, processes
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.keeping import trees

#: folder of the tree with what stays with the release
OF_RELEASE = ".of-release"


def checked(folder: object) -> str:
    """Return ``folder`` when it is a path inside of a tree.

    :raises ConfigurationError: it leads out of it, or is no path
    """
    if isinstance(folder, str) and folder.isprintable():
        parts = PurePosixPath(folder).parts
        if parts and not folder.startswith("/") and not {"..", ".git"} & set(parts):
            return str(PurePosixPath(folder))
    raise ConfigurationError(f"{identifiers.shown(folder)} is no folder inside of the tree.")


def linked(tree: Path, data: Path, folder: str, but: Sequence[str] = ()) -> bool:
    """Tell whether a folder of the tree is a link into ``data`` already; see :func:`link`."""
    return _leads(tree / folder, data / folder) and all(
        _leads(data / folder / inner, tree / OF_RELEASE / folder / inner)
        and (tree / OF_RELEASE / folder / inner).is_dir()
        for inner in but
    )


def link(tree: Path, data: Path, folder: str, but: Sequence[str], user: str | None) -> None:
    """Make a folder of the tree a link to the same in ``data``; what the tree brought is copied, and replaces nothing.

    Done as the project's user, whose folders these are.

    :param folder: see :func:`checked`
    :param but: folders inside of it that stay with the release
    :raises CorpusError: a file stands where the folder should be
    """

    def run(*words: str | Path) -> None:
        processes.run(words, user=user, cwd="/")

    place, target = tree / folder, data / folder
    run("mkdir", "-p", "--", target)
    for inner in but:
        run("rm", "-rf", "--", place / inner)
    if place.is_symlink():
        run("rm", "--", place)
    elif place.is_dir():
        run("cp", "-a", "--no-clobber", "--", f"{place}/.", target)
        run("rm", "-rf", "--", place)
    elif place.exists():
        raise CorpusError(f"{folder} is a file of the tree, and should be a folder that is kept in data/.")
    run("mkdir", "-p", "--", place.parent)
    run("ln", "-s", "--", target, place)
    for inner in but:
        own = tree / OF_RELEASE / folder / inner
        run("mkdir", "-p", "--", own, (target / inner).parent)
        if not _leads(target / inner, own):
            run("rm", "-rf", "--", target / inner)
            run("ln", "-s", "--", own, target / inner)


def unlink(tree: Path, data: Path) -> None:
    """Remove a tree's links into ``data``: a release that travels gets its own at the other end."""
    for entry in trees.entries(tree):
        if entry.is_symlink() and Path(os.readlink(entry.path)).is_relative_to(data):
            os.unlink(entry.path)


def _leads(path: Path, target: Path) -> bool:
    return path.is_symlink() and os.readlink(path) == str(target)
