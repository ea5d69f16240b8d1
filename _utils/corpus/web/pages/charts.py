"""Numbers as shapes: where the bars of a chart stand, in its own units. A table beside each says the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from corpus.web.routes.deployments import DeploymentInfo, StageInfo

#: Of a chart, in its own units.
WIDTH, HEIGHT = 600.0, 120.0


@dataclass(frozen=True)
class Bar:
    """A bar, and what it says.

    :param tone: of its colour: a number of a stage, or ``good``, ``bad``
    """

    x: float
    y: float
    width: float
    height: float
    words: str
    tone: str


def stages(these: Sequence[StageInfo]) -> list[Bar]:
    """The stages of a deployment in a row, each as long as it took."""
    total = sum(one.seconds for one in these) or 1.0
    found, x = [], 0.0
    for number, one in enumerate(these):
        width = one.seconds / total * WIDTH
        if width:
            words = f"{one.stage}: {one.seconds:.2f} s"
            found.append(Bar(round(x, 1), 0, round(max(width, 0.5), 1), 24, words, str(number % 6)))
        x += width
    return found


def times(these: Sequence[DeploymentInfo]) -> list[Bar]:
    """Deployments from the oldest to the newest, each as high as it took long."""
    tones = ["good" if one.result else "bad" for one in reversed(these)]
    words = [
        f"{one.when:%Y-%m-%d %H:%M}: {one.seconds:.1f} s, {'done' if one.result else 'failed'}" if one.when else ""
        for one in reversed(these)
    ]
    return _upright([one.seconds or 0.0 for one in reversed(these)], words, tones)


def weeks(these: Sequence[Any], figure: str, unit: str, factor: float = 1.0) -> list[Bar]:
    """A figure of each week; a week that tells nothing of it has no bar.

    :param figure: the name of a week's field
    :param unit: behind each number
    :param factor: from the field's unit to that
    """
    values = [getattr(week, figure) for week in these]
    words = [
        f"{week.begin}: {value * factor:.3g} {unit}".strip() if value is not None else ""
        for week, value in zip(these, values, strict=True)
    ]
    return _upright([value or 0.0 for value in values], words, ["good"] * len(values))


def _upright(values: Sequence[float], words: Sequence[str], tones: Sequence[str]) -> list[Bar]:
    most, room = max(values, default=0.0) or 1.0, WIDTH / max(len(values), 12)
    return [
        Bar(round(number * room, 1), round(HEIGHT - height, 1), round(room * 0.8, 1), round(height, 1), said, tone)
        for number, (value, said, tone) in enumerate(zip(values, words, tones, strict=True))
        if said and (height := max(value / most * HEIGHT, 1.5))
    ]
