"""A figure: two ways to do the same, timed in turns within one run, and the ratio of their medians."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """What one measurement found.

    :param name: of the measurement
    :param ratio: what was found
    :param goal: the ratio may be at most that; None: nothing is promised
    :param figures: what the ratio was made of, with the unit at the end of each name
    """

    name: str
    ratio: float
    goal: float | None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether the goal is met; without one there is nothing to miss."""
        return self.goal is None or self.ratio <= self.goal

    def row(self) -> dict[str, Any]:
        """Return it as it stands in ``results.json``."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "goal": self.goal,
            "held": self.held,
            **{key: round(value, 3) if isinstance(value, float) else value for key, value in self.figures.items()},
        }


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(
    rounds: int, one: Callable[[], float], other: Callable[[], float], say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Time ``one`` and ``other`` in turns, so that what else the machine does hits both alike.

    The first round warms caches up and does not count.

    :returns: the seconds of both, in order
    """
    ones, others = [], []
    for number in range(rounds + 1):
        ones.append(one())
        others.append(other())
        say(f"{'warm-up' if number == 0 else f'round {number}'}: {ones[-1]:.3f} s against {others[-1]:.3f} s")
    return ones[1:], others[1:]


def by_round(ones: list[float], others: list[float]) -> list[float]:
    """Return the ratio of each round alone: how far they lie apart tells how quiet the machine was."""
    return [round(one / other, 3) for one, other in zip(ones, others, strict=True)]


def median(values: list[float]) -> float:
    return statistics.median(values)
