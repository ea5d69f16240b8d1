"""What is new at the end of a log."""

import pytest
from corpus.web.tailing import behind


@pytest.mark.parametrize(
    ("seen", "found", "new"),
    [
        ([], [], []),
        ([], ["a"], ["a"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a", "a"], ["a", "a", "a"], ["a"]),
    ],
)
def test_of_one_log(seen: list[str], found: list[str], new: list[str]) -> None:
    assert behind(seen, found) == new


def test_of_several_logs_each_is_compared_by_itself() -> None:
    seen = ["web | one", "web | two", "worker | a"]
    found = ["web | two", "web | three", "worker | a", "worker | b"]
    assert behind(seen, found, mixed=True) == ["web | three", "worker | b"]
