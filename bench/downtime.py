"""Requests lost while a project is deployed, and the longest time without an answer, for each application."""

import itertools
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, seconds
from bench.warm import WarmMachine, machine
from tests.asking import Answers, asking
from tests.machine import CHECKOUT, WorkTree, free_port

GOAL = 0
ROUNDS = 3

#: by installer; each is an application of the examples or the tests
APPLICATIONS = {
    "static": CHECKOUT / "examples/static",
    "python": CHECKOUT / "examples/flask",
    "django": CHECKOUT / "examples/django",
    "nodejs": CHECKOUT / "tests/apps/express",
    "php": CHECKOUT / "tests/apps/php-symfony",
}


def measure(say: Callable[[str], None]) -> Figure:
    lost, asked, gaps, took = {}, {}, {}, {}
    for installer, application in APPLICATIONS.items():
        with machine() as made:
            visits, durations = _deployed(made, application)
        lost[installer] = sum(len(visit.lost) for visit in visits)
        asked[installer] = sum(len(visit) for visit in visits)
        gaps[installer] = round(max(visit.longest_gap for visit in visits), 1)
        took[installer] = round(statistics.median(durations), 2)
        say(
            f"{installer}: {lost[installer]} of {asked[installer]} requests lost in {ROUNDS} deployments of "
            f"{took[installer]} s, longest gap {gaps[installer]} ms"
        )
    return Figure(
        "requests lost in deployments, one every 10 ms",
        sum(lost.values()) / ROUNDS,
        GOAL,
        {"lost": lost, "asked": asked, "longest_gap_ms": gaps, "deploy_s": took},
    )


def _deployed(made: WarmMachine, application: Path) -> tuple[list[Answers], list[float]]:
    """Deploy an application, and again and again while visitors ask; return what they got, and the seconds of each."""
    port = free_port()
    made.init("app", http_port=port)
    tree = WorkTree(made, "app", made.folder / "people/app")
    shutil.copytree(application, tree.folder)
    made.store(tree)
    made.ok("mc_project.deploy_project", "app")
    visits, durations = [], []
    for number in itertools.islice(itertools.count(2), ROUNDS):
        tree.write({"CHANGE": str(number)})
        made.store(tree)
        with asking(port) as answers:
            durations.append(seconds(lambda: made.ok("mc_project.deploy_project", "app")))
        visits.append(answers)
    return visits, durations
