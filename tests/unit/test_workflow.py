"""The table of stages and modes, against the one in the design."""

import pytest
from corpus import statistics
from corpus.project import workflow

TABLE = """
archive         -  x  x
initialization  x  x  x
release_sync    -  -  x
configure       x  x  x
build           x  x  -
reconfigure     -  x  x
activate        x  x  x
upgrade         x  x  x
bundle          -  x  -
post_install    x  x  x
rollback        -  x  x
notify          x  x  x
"""
ROWS = [line.split() for line in TABLE.split("\n") if line]


def test_the_stages_are_those_of_the_design_in_that_order() -> None:
    assert list(workflow.ALL) == [row[0] for row in ROWS]
    assert [stage.name for stage in workflow.STAGES] == [row[0] for row in ROWS[:-2]]


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        (name, mode, sign == "x")
        for name, *signs in ROWS
        for mode, sign in zip(("editable", "cooking", "final"), signs, strict=True)
    ],
)
def test_the_mode_decides_unless_a_skip_does(name: str, mode: str, expected: bool) -> None:
    stage = workflow.ALL[name]
    assert workflow.runs(stage, {"operation_mode": mode}) is expected
    assert workflow.runs(stage, {"operation_mode": mode, f"skip_{name}": None}) is expected
    assert workflow.runs(stage, {"operation_mode": mode, f"skip_{name}": True}) is False
    assert workflow.runs(stage, {"operation_mode": mode, f"skip_{name}": False}) is True


def test_a_report_says_why_a_stage_was_left_out() -> None:
    stage = workflow.ALL["bundle"]
    assert workflow.why_not(stage, {"operation_mode": "final"}) == "not in final mode"
    assert workflow.why_not(stage, {"operation_mode": "cooking", "skip_bundle": True}) == "skip_bundle is set"


def test_every_sls_that_a_project_carries() -> None:
    assert set(workflow.SLS) == {
        "deploy",
        "archive",
        "initialization",
        "release-sync",
        "configure",
        "build",
        "reconfigure",
        "activate",
        "upgrade",
        "bundle",
        "post_install",
        "rollback",
        "notification",
    }


def test_environments_follow_modes() -> None:
    assert workflow.ENVIRONMENTS == {"editable": "dev", "cooking": "staging", "final": "prod"}


def test_reports_and_figures_tell_stages_in_their_order() -> None:
    assert [stage for stage in statistics.ORDER if stage in workflow.ALL] == list(workflow.ALL)
    order = [workflow.TESTS_AFTER, workflow.TESTS.name, "activate", workflow.SWITCH_AFTER, workflow.SWITCH, "bundle"]
    assert sorted(order, key=statistics.place) == order
    assert statistics.place("something else") == len(statistics.ORDER)
