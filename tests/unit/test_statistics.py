"""The DORA figures, from the lines that deployments leave."""

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from corpus import statistics
from corpus.project.keeping import history
from corpus.project.layout import Layout
from corpus.project.telling import figures

NOW = datetime(2026, 6, 30, 12, 0, tzinfo=timezone.utc)


def line(hours_ago: float, **facts: Any) -> dict[str, Any]:
    when = NOW - timedelta(hours=hours_ago)
    return {
        "deployment": f"{when:%Y%m%dT%H%M%SZ}-0123abcd",
        "kind": "deploy",
        "result": True,
        "when": f"{when:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": 0,
        "who": "alice",
        "stages": {"build": 2.0},
        **facts,
    }


def test_nothing_and_one_deployment_have_figures() -> None:
    nothing = statistics.figures([], 90, NOW)
    assert (nothing["deployments"], nothing["lead_time_seconds"], nothing["change_failure_rate"]) == (0, None, None)
    assert "unknown" in figures.table({"shop": nothing})
    one = statistics.figures([line(1, lead={"a" * 12: 600})], 7, NOW)
    assert (one["deployments"], one["frequency_per_week"], one["lead_time_seconds"]) == (1, 1.0, 600)
    assert (one["change_failure_rate"], one["time_to_restore_seconds"]) == (0.0, None)
    assert one["stages"]["build"] == {"count": 1, "median": 2.0, "p95": 2.0}


def test_what_was_taken_back_failed_and_what_was_refused_did_not_reach_users() -> None:
    told = statistics.figures(
        [
            line(50, lead={"a" * 12: 100}),
            line(40, lead={"b" * 12: 200}),
            line(39, kind="rollback"),  # takes back b after an hour
            line(30, result=False, who="bob"),
            line(29.5, result=False, who="bob"),
            line(28, lead={"b" * 12: 9999, "c" * 12: 300}),  # b reached users before
            line(20, lead={"d" * 12: 400}, reverts=["a" * 12]),  # a had to be taken back, too: 30 hours
            line(10, back=True),  # a push of an older revision takes d back, after ten
        ],
        90,
        NOW,
    )
    assert (told["deployments"], told["rollbacks"], told["refused"]) == (4, 2, 2)
    assert told["lead_time_seconds"] == 250  # of 100, 200, 300, 400
    assert told["change_failure_rate"] == 0.75
    assert told["time_to_restore_seconds"] == 10 * 3600  # of 1, 10 and 30 hours
    assert told["refused_rate"] == pytest.approx(2 / 6, abs=1e-4)
    assert told["mend_refused_seconds"] == 2 * 3600


def test_only_what_lies_in_the_time_counts_but_what_led_to_it_is_known() -> None:
    lines = [line(30 * 24, lead={"a" * 12: 5}), line(24, kind="rollback"), line(1, lead={"a" * 12: 7})]
    told = statistics.figures(lines, 7, NOW)
    assert (told["deployments"], told["rollbacks"], told["change_failure_rate"]) == (1, 1, 0.0)
    assert told["lead_time_seconds"] is None  # its only commit had reached users before
    assert [week["deployments"] for week in statistics.figures(lines, 35, NOW)["weeks"]] == [1, 0, 0, 0, 1]


def test_lines_outlive_the_records(layout: Layout) -> None:
    for number in range(205):
        entry = line(1000 - number)
        history.store(layout, {**entry, "stages": {}}, {"deployment": entry["deployment"]})
        history.count(layout, entry)
    assert len(history.lines(layout)) == 205
    assert len(list(layout.reports.iterdir())) == 200
    torn = next(iter(layout.statistics.iterdir()))
    torn.write_bytes(torn.read_bytes()[:-40])  # cut short by a crash; told again by the repair
    last = line(1000 - 204, result=False)
    history.count(layout, last)
    history.count(layout, last)
    told = history.lines(layout)
    assert len(told) == 205
    assert told[-1]["result"] is False
    assert torn.stat().st_mode & 0o777 == 0o600


def test_ten_thousand_deployments_are_counted_in_time(layout: Layout) -> None:
    for number in range(10_000):
        history.count(layout, line(number / 5, lead={f"{number:012x}": number}))
    began = time.monotonic()
    told = statistics.figures(history.lines(layout), 90, NOW)
    assert time.monotonic() - began < 5
    assert told["deployments"] == 10_000
    assert len(told["weeks"]) == 13


def test_sparklines() -> None:
    assert figures.sparkline([0, 1, 2, None, 4]) == "▁▂▄ █"
    assert figures.sparkline([]) == figures.sparkline([None])[1:] == ""
    assert figures.sparkline([0, 0]) == "▁▁"
