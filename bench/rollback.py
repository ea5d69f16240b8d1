"""A rollback of a project of 1 GB, against one of 1 MB."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, by_round, in_turns, median, seconds
from bench.trees import grow, size
from bench.warm import WarmMachine, machine

GOAL = 1.5
ROUNDS = 9

_MB = 10**6

_BUILD = """\
what-was-built:
  cmd.run:
    - name: cp -r --no-preserve=timestamps {built} {{{{ cfg.project_root }}}}/built
"""


def measure(say: Callable[[str], None]) -> Figure:
    with machine() as made:
        trees = {}
        setup = seconds(lambda: trees.update(small=_project(made, "small", 1), big=_project(made, "big", 1000)))
        say(
            f"made in {setup:.1f} s: releases of {trees['small'] // _MB} MB and of {trees['big'] // _MB} MB, two of each"
        )
        big, small = in_turns(ROUNDS, lambda: _roll_back(made, "big"), lambda: _roll_back(made, "small"), say)
    return Figure(
        "rollback of a 1 GB project, to one of 1 MB",
        median(big) / median(small),
        GOAL,
        {
            "big_s": median(big),
            "small_s": median(small),
            "big_mb": trees["big"] // _MB,
            "small_mb": trees["small"] // _MB,
            "setup_s": setup,
            "by_round": by_round(big, small),
        },
    )


def _project(made: WarmMachine, name: str, megabytes: int) -> int:
    """Deploy a project twice whose build makes that much; return the bytes of its running tree.

    Archives and bundles have no part in a rollback between trees that are kept: they are left out.
    """
    built = made.folder / f"built-{name}"
    grow(built, megabytes)
    made.init(name, installer="generic", skip_archive=True, skip_bundle=True)
    tree = made.work_tree(name, {".salt/build.sls": _BUILD.format(built=built)})
    made.store(tree)
    made.ok("mc_project.deploy_project", name)
    tree.write({"VERSION": "2"})
    made.store(tree)
    made.ok("mc_project.deploy_project", name)
    shutil.rmtree(built)
    return size([Path(made.project(name) / "project")])


def _roll_back(made: WarmMachine, name: str) -> float:
    return seconds(lambda: made.ok("mc_project.rollback", name))
