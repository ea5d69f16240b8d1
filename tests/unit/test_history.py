"""What was deployed."""

import pytest
from corpus.errors import UsageError
from corpus.project.keeping import history
from corpus.project.layout import Layout


def identifier(number: int) -> str:
    return f"20260101T{number:06d}Z-0123abcd"


def test_newest_first_and_as_many_as_asked_for(layout: Layout) -> None:
    assert history.listing(layout) == []
    for number in (2, 1, 3):
        history.store(layout, {"deployment": identifier(number), "n": number})
    assert [record["n"] for record in history.listing(layout)] == [3, 2, 1]
    assert [record["n"] for record in history.listing(layout, 2)] == [3, 2]
    assert history.listing(layout, 0) == []
    assert history.record(layout, identifier(2)) == {"deployment": identifier(2), "n": 2}


def test_two_hundred_are_kept_with_their_logs(layout: Layout) -> None:
    layout.deployment_logs.mkdir()
    layout.history.mkdir()
    for number in range(205):
        history.log_path(layout, identifier(number)).write_text(f"log {number}")
        if number < 204:
            (layout.history / f"{identifier(number)}.json").write_text(f'{{"n": {number}}}')
    history.store(layout, {"deployment": identifier(204), "n": 204})
    assert [record["n"] for record in history.listing(layout)] == list(range(204, 4, -1))
    assert len(list(layout.deployment_logs.iterdir())) == 200
    assert history.log(layout, identifier(5)) == "log 5"
    with pytest.raises(UsageError, match=f"has no log of {identifier(4)}"):
        history.log(layout, identifier(4))


def test_the_last_log(layout: Layout) -> None:
    with pytest.raises(UsageError, match="was never deployed: there is no log yet"):
        history.log(layout)
    layout.deployment_logs.mkdir()
    for number in (1, 2):
        history.store(layout, {"deployment": identifier(number)})
        history.log_path(layout, identifier(number)).write_text(f"log {number} é")
    assert history.log(layout) == "log 2 é"


@pytest.mark.parametrize("deployment", [identifier(9), "20250101T000000Z-00000000"])
def test_unknown_ids_are_named(layout: Layout, deployment: str) -> None:
    with pytest.raises(UsageError, match=f"no deployment {deployment}: see mc_project.history demo"):
        history.record(layout, deployment)
    with pytest.raises(UsageError, match=f"no log of {deployment}"):
        history.log(layout, deployment)


@pytest.mark.parametrize("deployment", ["", "last", "../secret", "/etc/passwd", "x" * 10_000, 5, ["a"]])
def test_what_is_no_id_is_no_path(layout: Layout, deployment: str) -> None:
    layout.history.mkdir()
    (layout.own / "secret.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a release id"):
        history.record(layout, deployment)
    with pytest.raises(UsageError, match="is not a release id"):
        history.log(layout, deployment)


def test_records_are_ours_alone(layout: Layout) -> None:
    history.store(layout, {"deployment": identifier(1)})
    assert layout.history.stat().st_mode & 0o777 == 0o700
