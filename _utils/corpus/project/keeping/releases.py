"""Releases: what each deployment left, which of them are kept, and what a rollback would use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import files
from corpus.project.keeping import archives, trees
from corpus.project.keeping.manifest import MANIFEST
from corpus.project.layout import Layout


def describe(layout: Layout, release: str, cfg: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the manifest of a release that was not bundled; one that was has it already."""
    folder = layout.release(release)
    if not (folder / MANIFEST).exists():
        folder.mkdir(mode=0o711, exist_ok=True)
        about = {
            "name": layout.name,
            "release": release,
            "api_version": cfg["api_version"],
            "mode": cfg["operation_mode"],
            "installer": cfg["installer"],
        }
        files.write_json(folder / MANIFEST, {**facts, **about, "artifacts": {}})


def listing(layout: Layout) -> list[dict[str, Any]]:
    """Return the releases that are kept, newest first.

    Each is a mapping: release, revision, when, who, running, kept (``running``, ``tree`` or ``archive``: what a
    rollback uses; None: nothing is left to go back to), artifacts (file names).
    """
    running = layout.running()
    found = []
    for path in sorted(layout.deployed.glob("[0-9]*"), reverse=True):
        manifest = files.read_json(path / MANIFEST)
        if manifest is None:
            continue
        kept = None
        if path.name == running:
            kept = "running"
        elif (path / "project").is_dir():
            kept = "tree"
        elif (layout.archive(path.name) / MANIFEST).exists() and (layout.archive(path.name) / "project").is_dir():
            kept = "archive"
        found.append(
            {
                "release": path.name,
                "revision": manifest.get("revision"),
                "when": manifest.get("when"),
                "who": manifest.get("who"),
                "running": kept == "running",
                "kept": kept,
                "artifacts": sorted(manifest.get("artifacts", {})),
            }
        )
    return found


def before(layout: Layout) -> str | None:
    """Return the release that ran last before the running one and can be gone back to, or None."""
    kept = {entry["release"] for entry in listing(layout) if entry["kept"] in ("tree", "archive")}
    return max(kept, key=lambda release: (_retired(layout.release(release)), release), default=None)


def rotate(layout: Layout, cfg: Mapping[str, Any]) -> None:
    """Drop what is beyond ``keep_trees``, ``keep_releases`` and ``keep_failed``; never the running release.

    A whole tree becomes the one of its archive, unless that has a copy already: what was deployed stays kept.
    """
    trees.sweep(layout.deployed)
    trees.sweep(layout.failed)
    for tree in layout.archives.glob("[0-9]*/project"):  # we died between moving a tree here and saying so
        if not (tree.parent / MANIFEST).exists():
            files.write_json(tree.parent / MANIFEST, {"release": tree.parent.name, "from": "tree"})
    running = layout.running()
    # The order in which they ran, newest first: a rollback makes an old release the newest again.
    others = sorted(
        (path for path in layout.deployed.glob("[0-9]*") if path.name != running and path.is_dir()),
        key=lambda path: _retired(path),
        reverse=True,
    )
    for path in [path for path in others if (path / "project").is_dir()][cfg["keep_trees"] :]:
        archive = layout.archive(path.name)
        if (archive / MANIFEST).exists() and (archive / "project").is_dir():
            trees.remove(path / "project")
        else:
            archives.take(layout, path.name, path / "project")
        trees.remove(path / "pillar")
    for path in sorted(others, reverse=True)[max(cfg["keep_releases"] - 1, 0) :]:
        if not (path / "project").is_dir():
            trees.remove(path)
            layout.processes(path.name).unlink(missing_ok=True)
    for path in sorted(layout.failed.glob("[0-9]*"), reverse=True)[cfg["keep_failed"] :]:
        trees.remove(path)


def _retired(path: Path) -> float:
    stamp = path / ".retired"
    return stamp.stat().st_mtime if stamp.exists() else 0.0
