"""Ten archives of a tree of 500 MB of which 1 % changes from one deployment to the next."""

import random
from collections.abc import Callable

from bench.figure import Figure, seconds
from bench.trees import change, grow, size
from bench.warm import WarmMachine, machine

GOAL = 1.3
ARCHIVES = 10

_MEGABYTES = 500
_MB = 10**6


def measure(say: Callable[[str], None]) -> Figure:
    with machine() as made:
        return _measure(made, say)


def _measure(made: WarmMachine, say: Callable[[str], None]) -> Figure:
    """Deploy eleven times; each deployment but the first archives what ran before it."""
    made.init("kept", installer="generic", keep_archives=ARCHIVES, skip_bundle=True)
    tree = made.work_tree("kept")
    files = grow(tree.folder, _MEGABYTES)
    small = [path for path in files if not path.name.startswith("big-")]
    dice = random.Random(1)
    took = []
    for number in range(ARCHIVES + 1):
        changed = change(dice.sample(small, len(small) // 50), dice) if number else 0
        made.store(tree)
        took.append(seconds(lambda: made.ok("mc_project.deploy_project", "kept")))
        say(f"deployment {number + 1}: {changed / _MB:.1f} MB changed, {took[-1]:.1f} s")
    running, archives = made.project("kept") / "project", made.project("kept") / "archives"
    kept = sorted(path for path in archives.iterdir() if path.is_dir())
    if len(kept) != ARCHIVES:
        raise RuntimeError(f"There are {len(kept)} archives, not {ARCHIVES}: {kept}")
    whole, disk = size([running]), size(kept)
    return Figure(
        "disk of ten archives of a 500 MB tree, to the tree",
        disk / whole,
        GOAL,
        {"archives_mb": disk // _MB, "tree_mb": whole // _MB, "deployments_s": sum(took)},
    )
