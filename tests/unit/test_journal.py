"""The write-ahead journal."""

import pytest
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout


def test_what_was_recorded_is_found_by_the_next_process(layout: Layout) -> None:
    journal = Journal.begin(layout, old=None, new="x")
    journal.record("stage", stage="build é\n")
    journal.record("stage", stage="activate")
    found = Journal.left_behind(layout)
    assert found is not None
    assert (
        found.entries
        == journal.entries
        == [
            {"step": "begin", "old": None, "new": "x"},
            {"step": "stage", "stage": "build é\n"},
            {"step": "stage", "stage": "activate"},
        ]
    )
    assert found.last("stage") == {"step": "stage", "stage": "activate"}
    assert found.last("commit") is None
    assert layout.journal.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_closed_is_gone(layout: Layout) -> None:
    journal = Journal.begin(layout)
    journal.close()
    assert Journal.left_behind(layout) is None
    journal.close()


@pytest.mark.parametrize("torn", [b'{"step": "comm', b"{", b'"', b"\0\0\0\0", b'{"step": "commit"\n'])
def test_a_torn_last_line_was_not_written(layout: Layout, torn: bytes) -> None:
    journal = Journal.begin(layout, new="x")
    journal.record("start")
    with layout.journal.open("ab") as stream:
        stream.write(torn)
    found = Journal.left_behind(layout)
    assert found is not None
    assert found.entries == journal.entries


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_cut_anywhere_whole_lines_remain(layout: Layout, cut: int) -> None:
    journal = Journal.begin(layout, new="x")
    journal.record("start", release="x")
    left = layout.journal.read_bytes()[:-cut]
    layout.journal.write_bytes(left)
    found = Journal.left_behind(layout)
    assert found is not None
    assert found.entries == journal.entries[: left.count(b"}")]


def test_a_journal_that_died_in_its_first_line_is_empty(layout: Layout) -> None:
    layout.journal.write_bytes(b'{"st')
    found = Journal.left_behind(layout)
    assert found is not None
    assert found.entries == []


def test_the_reserve_is_there_while_a_deployment_runs_and_given_back(layout: Layout) -> None:
    journal = Journal.begin(layout)
    assert layout.reserve.stat().st_size == 1 << 20
    assert layout.reserve.stat().st_blocks * 512 >= 1 << 20, "a hole would reserve nothing"
    journal.free_reserve()
    assert not layout.reserve.exists()
    journal.free_reserve()
    layout.reserve.write_bytes(b"cut short")
    journal.close()
    Journal.begin(layout)
    assert layout.reserve.stat().st_size == 1 << 20
