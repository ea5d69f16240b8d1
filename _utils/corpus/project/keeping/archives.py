"""Archives: what ran, its content and its data.

The data is copied before a deployment touches anything. The tree need not be: the exchange takes it off whole, it is kept
for a rollback, and in the end it is the archive's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.project import workflow
from corpus.project.keeping import lock, trees
from corpus.project.layout import Layout

_MIB = 1 << 20


def make(layout: Layout, release: str, cfg: Mapping[str, Any], content: bool = True) -> tuple[Path, str]:
    """Archive the running tree, and the data unless ``archive_data`` is off.

    :param release: id of the release that runs, whose archive it is
    :param content: copy the tree; without, :func:`take` moves it there later
    :returns: the archive's folder, and how it was copied, for a person
    :raises CorpusError: a file cannot be read, or the disk is full; what was half made is gone
    """
    folder = layout.archive(release)
    previous, like = latest(layout), _latest_tree(layout)
    how = "moved"
    half = layout.archives / f".making-{release}"
    half.mkdir(mode=0o711, exist_ok=True)
    try:
        if content and like:
            how = trees.copy_sharing(layout.project, half / "project", like)
        elif content:
            how = trees.copy(layout.project, half / "project")
        if cfg["archive_data"]:
            trees.copy(Path(cfg["data_root"]), half / "data", previous and previous / "data")
        files.write_json(
            half / "manifest.json",
            {
                "release": release,
                "when": lock.now(),
                "api_version": cfg["api_version"],
                "mode": cfg["operation_mode"],
            },
        )
        trees.remove(folder)
        half.rename(folder)
    except BaseException:
        trees.remove(half)
        raise
    return folder, how


def take(layout: Layout, release: str, tree: Path) -> None:
    """Make a tree that nobody uses any more that of its release's archive.

    Unchanged files are shared with the archive before.

    :param tree: on the same file system; it is moved
    """
    archive, like = layout.archive(release), _latest_tree(layout)
    archive.mkdir(mode=0o711, exist_ok=True)
    trees.remove(archive / "project")
    tree.rename(archive / "project")
    if not (archive / "manifest.json").exists():
        files.write_json(archive / "manifest.json", {"release": release, "from": "tree"})
    if like:
        trees.share(archive / "project", like)


def _latest_tree(layout: Layout) -> Path | None:
    """Return the tree of the newest archive that has one."""
    return next((tree for folder in reversed(listing(layout)) if (tree := folder / "project").is_dir()), None)


def listing(layout: Layout) -> list[Path]:
    """Return the folders of the archives, oldest first."""
    return sorted(path.parent for path in layout.archives.glob("[0-9]*/manifest.json"))


def latest(layout: Layout) -> Path | None:
    """Return the newest archive, or None."""
    return next(reversed(listing(layout)), None)


def rotate(layout: Layout, keep: int, spare: set[str]) -> list[str]:
    """Remove the oldest archives beyond ``keep``, and halves that were left behind.

    :param spare: ids that must stay whatever their age
    :returns: the ids that are gone
    """
    trees.sweep(layout.archives)
    for half in layout.archives.glob(".making-*"):
        trees.remove(half)
    gone = []
    for folder in listing(layout)[: -keep or None]:
        if folder.name not in spare:
            trees.remove(folder)
            gone.append(folder.name)
    return gone


def ensure_space(
    layout: Layout, cfg: Mapping[str, Any], enlarge: Callable[[int], bool] | None, content: bool = True
) -> int:
    """Check that there is room for an archive and a new version beside what runs.

    :param content: the archive is to hold a copy of the tree
    :param enlarge: asks the machine's node for that many more bytes, tells whether it got them; None: nobody to ask
    :returns: the free bytes
    :raises CorpusError: there is too little room
    """
    tree = trees.size(layout.project)
    kept = tree * content + (trees.size(Path(cfg["data_root"])) if cfg["archive_data"] else 0)
    previous = latest(layout)
    if previous:  # unchanged files are shared with it
        shared = trees.size(previous if content else previous / "data")
        kept = max(kept - shared, 0) + kept // 10
    if cfg["operation_mode"] == workflow.COOKING:  # what the bundle stage will take
        tree += 2 * tree
    return ensure_room(layout, cfg, kept + tree, "the archive and the new version", enlarge)


def ensure_room(
    layout: Layout, cfg: Mapping[str, Any], room: int, what: str, enlarge: Callable[[int], bool] | None = None
) -> int:
    """Check that ``minimum_free`` stays free beside what is about to be written.

    :param room: bytes that will be written
    :param what: they are for, in words
    :param enlarge: as in :func:`ensure_space`
    :returns: the free bytes
    :raises CorpusError: there is too little room
    """
    need = room + cfg["minimum_free"] * _MIB
    have = trees.free(layout.folder)
    if have < need and enlarge is not None and enlarge(need - have):
        have = trees.free(layout.folder)
    if have < need:
        raise CorpusError(
            f"Too little disk space under {layout.folder} for {what}: {need // _MIB} MiB are needed, {have // _MIB} MiB are free. "
            "Enlarge the guest, lower keep_archives, or lower minimum_free."
        )
    return have
