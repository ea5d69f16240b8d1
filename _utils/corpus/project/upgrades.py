"""Upgrade steps: named, run once each, in order of their names. Each one done is marked with its content's digest."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import upgrade_step
from corpus.project.keeping import lock, trees
from corpus.project.layout import Layout

FOLDER = "upgrades"
_MAINTENANCE = re.compile(r"\s*#+\s*maintenance:\s*(true|yes|on)\s*", re.IGNORECASE)


def to_do(layout: Layout, salt_root: Path, asked: str | None = None) -> list[str]:
    """Return the names of the steps that are to be run, in order.

    :param salt_root: the ``.salt`` that holds ``upgrades/<step>.sls``
    :param asked: run this one
    :raises CorpusError: a step was altered after it was done, or the one asked for is done already
    :raises UsageError: the one asked for does not exist, or a file cannot name a step
    """
    files_of_steps = sorted((salt_root / FOLDER).glob("*.sls"), key=lambda path: path.stem)
    present = {upgrade_step(path.stem): path for path in files_of_steps}
    for step, path in present.items():
        mark = done(layout).get(step)
        if mark and mark["sha256"] != trees.sha256(path):
            raise CorpusError(
                f"The upgrade step {step!r} was altered after it was done on {mark['when']}: "
                f"give the new content a new name, or forget the step with mc_project.forget_upgrade {layout.name} {step}."
            )
    if asked is None:
        return [step for step in present if step not in done(layout)]
    if upgrade_step(asked) not in present:
        raise UsageError(f"There is no upgrade step {asked!r}: it would stand in .salt/{FOLDER}/{asked}.sls.")
    if asked in done(layout):
        raise CorpusError(
            f"The upgrade step {asked!r} was done already, on {done(layout)[asked]['when']} by deployment "
            f"{done(layout)[asked]['deployment']}: it is not run twice."
        )
    return [asked]


def closing(layout: Layout, salt_root: Path) -> list[str]:
    """Return what of the coming upgrade the old version would not survive: ``upgrade`` and names of steps.

    A file says so in a comment among its first lines: ``# maintenance: true``.
    """
    named = {"upgrade": salt_root / "upgrade.sls"}
    named.update((step, salt_root / FOLDER / f"{step}.sls") for step in to_do(layout, salt_root))
    return [name for name, path in named.items() if _wants_maintenance(path)]


def _wants_maintenance(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    comments = itertools.takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines)
    return any(_MAINTENANCE.fullmatch(line) for line in comments)


def done(layout: Layout) -> dict[str, dict[str, Any]]:
    """Return the steps that were done: ``{step: {"sha256", "when", "deployment"}}``."""
    return {path.stem: dict(files.read_json(path)) for path in sorted(layout.upgrades.glob("*.json"))}


def mark(layout: Layout, salt_root: Path, step: str, deployment: str) -> None:
    """Note that a step is done."""
    layout.upgrades.mkdir(mode=0o700, exist_ok=True)
    digest = trees.sha256(salt_root / FOLDER / f"{step}.sls")
    files.write_json(layout.upgrades / f"{step}.json", {"sha256": digest, "when": lock.now(), "deployment": deployment})


def forget(layout: Layout, step: str) -> bool:
    """Let a step be run again; return whether it was marked."""
    path = layout.upgrades / f"{upgrade_step(step)}.json"
    was_done = path.exists()
    path.unlink(missing_ok=True)
    return was_done
