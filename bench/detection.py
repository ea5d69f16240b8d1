"""How long corpus looks at a tree before it knows the installer: the slowest of forty trees, against 50 ms."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import applications
from bench.figure import Figure, median, seconds

LIMIT = 0.05
ROUNDS = 9


def measure(say: Callable[[str], None]) -> Figure:
    from corpus.project import found
    from corpus.project.found import declared

    def look(tree: Path) -> None:
        found.look(tree, list(found.ORDER))
        declared.read(tree)

    with tempfile.TemporaryDirectory(prefix="corpus-trees-") as folder:
        trees = {application.name: tree for application, tree in applications.grown(Path(folder))}
        took = {}
        for name, tree in trees.items():
            look(tree)  # the first one finds the disk cold, and does not count
            took[name] = median([seconds(lambda tree=tree: look(tree)) for _ in range(ROUNDS)])
    slowest = max(took, key=lambda name: took[name])
    say(f"{len(took)} trees; the slowest is {slowest}: {took[slowest] * 1000:.1f} ms")
    return Figure(
        "look at a tree, to 50 ms",
        took[slowest] / LIMIT,
        1.0,
        {
            "slowest_s": round(took[slowest], 5),
            "median_s": round(median(list(took.values())), 5),
            "slowest": slowest,
            "trees": len(took),
        },
    )
