"""Measure what corpus promises to be quick or small; how to read it: README.rst beside this file."""

import json
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import archives, detection, dns, downtime, guests, moves, push, redeploy, registry, rollback, stages, web
from bench.figure import Figure
from tests.machine import CHECKOUT

RESULTS = CHECKOUT / "bench/results.json"
MEASUREMENTS = {
    "stages": stages,
    "push": push,
    "rollback": rollback,
    "archives": archives,
    "detection": detection,
    "downtime": downtime,
    "redeploy": redeploy,
    "dns": dns,
    "registry": registry,
    "guests": guests,
    "moves": moves,
    "web": web,
}


def main(words: list[str]) -> int:
    """Measure everything, or what is named; return the exit status."""
    unknown = sorted(set(words) - set(MEASUREMENTS))
    if unknown:
        print(f"There is no measurement {unknown[0]!r}: name some of {', '.join(MEASUREMENTS)}, or none for all.")
        return 2
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # what Python thinks of Salt's imports
    began = time.monotonic()
    found: list[Figure] = []
    for name in words or MEASUREMENTS:
        print(f"== {name}", flush=True)
        measured = MEASUREMENTS[name].measure(_say)
        found += measured if isinstance(measured, list) else [measured]
    RESULTS.write_text(json.dumps([figure.row() for figure in found], indent=2) + "\n")
    print(f"\n{'ratio':>8}  {'goal':>5}  {'':6}")
    for figure in found:
        print(_line(figure))
    print(f"\n{RESULTS.relative_to(CHECKOUT)} has the figures; it took {time.monotonic() - began:.0f} s.")
    return 0 if all(figure.held for figure in found) else 1


def _say(words: str) -> None:
    print(f"   {words}", flush=True)


def _line(figure: Figure) -> str:
    goal = "none" if figure.goal is None else f"{figure.goal:.2f}"
    verdict = "" if figure.goal is None else "held" if figure.held else "MISSED"
    return f"{figure.ratio:8.3f}  {goal:>5}  {verdict:6}  {figure.name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
