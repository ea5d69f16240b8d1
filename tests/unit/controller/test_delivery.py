"""The figures of projects together, from what the registry has of their deployments."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from corpus.controller import delivery
from corpus.controller.registry.models import ComputeNode, Deployment, Guest, Project, now
from corpus.controller.registry.store import Registry
from sqlalchemy.orm import Session

HOUR = 3600.0


@pytest.fixture
def session(registry: Registry) -> Iterator[Session]:
    with registry.session() as session:
        node = ComputeNode(name="n1.corpus.test", minion_id="n1.corpus.test", host="192.0.2.1", state="ready")
        session.add(node)
        session.add_all(Guest(name=name, minion_id=f"{name}.corpus.test", node=node) for name in ("a", "b"))
        session.add_all(Project(name=name) for name in ("shop", "blog"))
        session.flush()
        yield session


def deployed(session: Session, project: int, at: str, hours_ago: float, **report: Any) -> None:
    started = now() - datetime.timedelta(hours=hours_ago)
    session.add(
        Deployment(
            project_id=project,
            guest_name=at,
            deployment_id=f"{started:%Y%m%dT%H%M%SZ}-{project:08x}",
            result=report.pop("result", True),
            who="ada",
            started=started,
            seconds=10.0,
            report=report,
        )
    )
    session.flush()


def test_each_place_is_counted_by_itself_and_all_are_told_together(session: Session) -> None:
    deployed(session, 1, "a", 50, lead={"c1": HOUR}, stages={"build": {"result": True, "seconds": 2}, "bundle": {}})
    deployed(session, 2, "b", 49, kind="rollback")  # of another project: the first one did not fail by it
    deployed(session, 1, "a", 48, lead={"c2": 3 * HOUR})
    deployed(session, 1, "a", 47, kind="rollback")
    deployed(session, 1, "a", 46, result=False)
    deployed(session, 1, "b", 30 * 24)
    found = delivery.figures(session, None, 7)
    told = found.told
    assert (told["deployments"], told["rollbacks"], told["refused"], found.complete) == (2, 2, 1, True)
    assert (told["lead_time_seconds"], told["change_failure_rate"]) == (2 * HOUR, 0.5)
    assert told["time_to_restore_seconds"] == pytest.approx(HOUR, abs=2)
    assert told["stages"] == {"build": {"count": 1, "median": 2.0, "p95": 2.0}}
    assert [week["change_failure_rate"] for week in told["weeks"]] == [0.5]
    assert delivery.figures(session, [2], 7).told["deployments"] == 0
    assert delivery.figures(session, [1], 60, "b").told["deployments"] == 1
    assert delivery.figures(session, [], 60).told["deployments"] == 0


def test_more_than_can_be_looked_at_is_said(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MOST", 3)
    for hours in range(1, 6):
        deployed(session, 1, "a", hours)
    found = delivery.figures(session, [1], 7)
    assert (found.told["deployments"], found.complete) == (3, False)
    monkeypatch.setattr(delivery, "MOST_TOGETHER", 2)
    for projects in (None, [1, 2]):
        found = delivery.figures(session, projects, 7)
        assert (found.told["deployments"], found.complete) == (2, False)
