"""The second deployment of the Django example, with nothing new to install, against the first, which installs everything."""

import time
from collections.abc import Callable

from bench.figure import Figure, by_round, median
from bench.warm import machine
from tests.machine import CHECKOUT, Machine

ROUNDS = 3


def measure(say: Callable[[str], None]) -> Figure:
    whole: tuple[list[float], list[float]] = ([], [])
    build: tuple[list[float], list[float]] = ([], [])
    with machine() as made:
        for number in range(ROUNDS):
            name = f"book{number}"  # each has caches of its own, which are empty
            made.init(name)
            tree = made.work_tree(name, like=CHECKOUT / "examples/django")
            for turn in range(2):
                tree.commit({"VERSION": str(turn)})
                began = time.perf_counter()
                pushed = tree.push()
                whole[turn].append(time.perf_counter() - began)
                if pushed.status:
                    raise RuntimeError(pushed.said)
                build[turn].append(_build(made, name))
            say(f"round {number + 1}: {whole[1][-1]:.2f} s against {whole[0][-1]:.2f} s")
    firsts, seconds = whole
    return Figure(
        "second deployment of the Django example, to its first",
        median(seconds) / median(firsts),
        0.25,
        {
            "first_s": median(firsts),
            "second_s": median(seconds),
            "build_first_s": median(build[0]),
            "build_second_s": median(build[1]),
            "by_round": by_round(seconds, firsts),
        },
    )


def _build(made: Machine, name: str) -> float:
    """Return how long the stage build of the last deployment took, in seconds."""
    last = made.ok("mc_project.history", name)[0]
    stage = last["stages"]["build"]
    return float(stage["seconds"] if isinstance(stage, dict) else stage)
