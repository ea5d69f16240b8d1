"""Snapshots: the root file system of a container as it was once, and the way back to it."""

from __future__ import annotations

import datetime
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import UsageError
from corpus.node import containers, names
from corpus.node.containers import Container
from corpus.node.storage import Pool

_ABOUT = "corpus.json"


def take(pool: Pool, name: str, label: str) -> list[str]:
    """Keep the root file system of a container as it is now. A container that runs goes on running.

    On btrfs a snapshot is of one instant. Elsewhere the container stands still while it is copied.

    :returns: what was done; empty when there is a snapshot of that label
    """
    container, target = Container(pool, name), _home(pool, name, label)
    with pool.turn(name):
        wish = container.specification()
        if target.is_dir():
            return []
        half = pool.fresh(f"{name}.snapshot")
        still = not pool.driver.instant and container.state() in (
            "RUNNING",
            "FROZEN",
        )  # frozen: by a call that was killed
        if still:
            containers.freeze(container)
        try:
            pool.driver.keep(container.home, half)
        finally:
            if still:
                containers.thaw(container)
        taken = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        files.write_json(half / _ABOUT, {**asdict(wish), "taken": taken})
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.rename(half, target)
        files.flush_folder(target.parent)
        return [f"snapshot {label} of {name}"]


def listed(pool: Pool, name: str) -> dict[str, dict[str, Any]]:
    """Return the snapshots of a container, the oldest first: ``{label: {taken}}`` (UTC)."""
    Container(pool, name).specification()
    found = {
        file.parent.name: {"taken": str(files.read_json(file)["taken"])}
        for file in (pool.snapshots / name).glob(f"*/{_ABOUT}")
    }
    return dict(sorted(found.items(), key=lambda item: (item[1]["taken"], item[0])))


def restore(pool: Pool, name: str, label: str) -> list[str]:
    """Let a container be as it was; what was since is gone. Where it runs, it is stopped for the moment of the change.

    :returns: what was done
    :raises UsageError: there is no such snapshot, or it holds more than the container may
    """
    container, source = Container(pool, name), _home(pool, name, label)
    with pool.turn(name):
        wish = container.specification()
        if not source.is_dir():
            raise UsageError(f"{name} has no snapshot {label}: it has {', '.join(listed(pool, name)) or 'none'}.")
        half = pool.fresh(f"{name}.restore")
        pool.driver.copy(source, half)
        if wish.size is not None and pool.driver.quota:
            used = pool.driver.used(half)
            if used > wish.size:
                pool.discard(half)
                raise UsageError(
                    f"The snapshot {label} holds {used} bytes, more than {name} may ({wish.size}): enlarge it."
                )
            pool.driver.limit(half, wish.size)
        containers.end(container)
        files.exchange(half / "rootfs", container.home / "rootfs")
        pool.discard(half)
        if wish.running:
            containers.begin(container)
        return [f"{name} is as it was in snapshot {label}"]


def delete(pool: Pool, name: str, label: str) -> list[str]:
    """Forget a snapshot; return what was done, which is nothing when it was not there."""
    target = _home(pool, name, label)
    with pool.turn(name):
        there = target.is_dir()
        if there:
            os.rename(target, pool.fresh(f"{name}.forgotten") / "snapshot")
        rest = pool.half / f"{name}.forgotten"
        pool.discard(rest / "snapshot")
        pool.discard(rest)
        return [f"snapshot {label} of {name} removed"] if there else []


def _home(pool: Pool, name: str, label: str) -> Path:
    return pool.snapshots / names.container(name) / names.snapshot(label)
