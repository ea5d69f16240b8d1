"""Lists of deployments are found by indexes, however many deployments there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import delivery
from corpus.controller.registry.store import Registry
from corpus.errors import UsageError
from corpus.web.routes import deployments
from sqlalchemy import event

NOTHING = {"after": None, "guest": None, "result": None, "since": None, "until": None}
AFTER = {"after": "20260131T120000.000000Z-17"}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(f"sqlite:///{tmp_path}/registry.sqlite3", tmp_path / "key")
    made.upgrade()
    yield made
    made.close()


def plans(registry: Registry, read: Any) -> list[str]:
    """How the database would do what ``read`` asks of deployments."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM deployments" in statement:
            asked.append((statement, parameters))

    event.listen(registry.engine, "before_cursor_execute", note)
    with registry.reading() as session:
        read(session)
    event.remove(registry.engine, "before_cursor_execute", note)
    assert asked
    with registry.engine.connect() as connection:
        return [
            str(row[3])
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize("projects", [None, [7]])
@pytest.mark.parametrize("given", [{}, AFTER, {"result": False}, {"result": False, **AFTER}, {"guest": "web1"}])
def test_a_part_of_a_list_is_read_in_the_order_of_an_index(
    registry: Registry, projects: list[int] | None, given: dict[str, Any]
) -> None:
    wanted = deployments._given(**{**NOTHING, **given})
    found = plans(registry, lambda session: deployments._page(session, projects, wanted, 50))
    ours = [words for words in found if "deployments" in words]
    assert ours
    assert all("USING INDEX ix_deployments" in words and "started" in words for words in ours), found
    assert not [words for words in found if words == "USE TEMP B-TREE FOR ORDER BY"], found


def test_several_projects_are_each_read_from_their_newest(registry: Registry) -> None:
    wanted = deployments._given(**NOTHING)
    found = plans(registry, lambda session: deployments._page(session, [1, 2, 3], wanted, 50))
    assert sum("ix_deployments_project_id_started (project_id=? AND" in words for words in found) == 3, found
    assert not [words for words in found if words.startswith("SCAN deployments")], found


def test_figures_are_read_by_time(registry: Registry) -> None:
    for projects in (None, [7]):
        found = plans(registry, lambda session, projects=projects: delivery.figures(session, projects, 84))
        assert not [words for words in found if words.startswith("SCAN deployments")], found


def test_a_cursor_that_is_none_is_refused() -> None:
    for words in ("x", "20260131T120000Z-1", "20261331T120000.000000Z-1"):
        with pytest.raises(UsageError, match="`next`"):
            deployments._given(**{**NOTHING, "after": words})
