"""``git push`` until the new content is served, against a bare repository whose hook only checks the tree out."""

import itertools
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, by_round, in_turns, median
from bench.warm import machine
from tests.machine import CHECKOUT, IDENTITY, WorkTree, free_port, page, run

ROUNDS = 5

_INTERVAL = 0.005
_PATIENCE = 60
_PAGE = "public/index.html"


def measure(say: Callable[[str], None]) -> Figure:
    with machine() as made:
        port = free_port()
        made.init("pages", installer="static", http_port=port)
        tree = made.work_tree("pages", like=CHECKOUT / "examples/static")
        served, bare = made.folder / "served", made.folder / "bare.git"
        _only_check_out(bare, served)

        contents = (f"<h1>{number}</h1>" for number in itertools.count())

        def corpus() -> float:
            content = next(contents)
            return _push(tree, content, tree.remote, lambda: page(port)[1] == content)

        def hook() -> float:
            content = next(contents)
            return _push(tree, content, bare, lambda: _read(served / _PAGE) == content)

        deployed, checked_out = in_turns(ROUNDS, corpus, hook, say)
    return Figure(
        "git push until served, to a hook that only checks out",
        median(deployed) / median(checked_out),
        None,
        {"corpus_s": median(deployed), "hook_s": median(checked_out), "by_round": by_round(deployed, checked_out)},
    )


def _only_check_out(bare: Path, served: Path) -> None:
    served.mkdir()
    ended = run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], env=IDENTITY)
    if ended.status:
        raise RuntimeError(ended.said)
    hook = bare / "hooks/post-receive"
    hook.write_text(f"#!/bin/sh\nexec git --work-tree={served} checkout --quiet --force main\n")
    hook.chmod(0o755)


def _push(tree: WorkTree, content: str, remote: Path, there: Callable[[], bool]) -> float:
    """Commit new content, push it, and return the seconds until it is there."""
    tree.commit({_PAGE: content})
    began = time.perf_counter()
    with subprocess.Popen(
        ["git", "push", "--quiet", str(remote), "HEAD:main"],
        cwd=tree.folder,
        env={**os.environ, **IDENTITY},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as pushing:
        while not there():
            if pushing.poll() or time.perf_counter() - began > _PATIENCE:
                pushing.kill()
                raise RuntimeError(f"What was pushed to {remote} is not there: {pushing.communicate()[1]}")
            time.sleep(_INTERVAL)
        took = time.perf_counter() - began
        _, said = pushing.communicate()
    if pushing.returncode:
        raise RuntimeError(said)
    return took


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
