"""Logs of processes: their last lines, what comes, and how they are kept short while somebody prints."""

import os
import threading
from pathlib import Path

import pytest
from corpus.errors import UsageError
from corpus.project.layout import Layout
from corpus.project.running import logs, rotation

from tests.machine import deadline


@pytest.fixture
def printed(layout: Layout) -> Layout:
    layout.logs.mkdir()
    layout.log("web").write_text("".join(f"line {number}\n" for number in range(30_000)))
    layout.log("worker").write_text("tick\n")
    (layout.logs / "access.log").symlink_to("/etc/passwd")
    return layout


def test_last_lines_say_whose_they_are_when_there_are_several(printed: Layout) -> None:
    web = logs.chosen(printed, [], "web")
    assert logs.tail(web, 2) == ["line 29998", "line 29999"]
    assert logs.tail(web, 0) == []
    assert logs.tail(logs.chosen(printed, [], None), 1) == ["web | line 29999", "worker | tick"]
    assert len(logs.tail(web, 29_000)) == 29_000


def test_a_type_that_printed_nothing_yet_has_no_lines_and_an_unknown_one_is_refused(printed: Layout) -> None:
    assert logs.tail(logs.chosen(printed, ["clock"], "clock"), 5) == []
    with pytest.raises(UsageError, match=r"'../x' .there: web, worker."):
        logs.chosen(printed, [], "../x")


def test_links_in_the_place_of_a_log_are_not_followed(printed: Layout) -> None:
    printed.log("web").unlink()
    printed.log("web").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        logs.tail([printed.log("web")], 5)
    with pytest.raises(OSError, match="symbolic"):
        rotation.rotate(str(printed.log("web")), 1)


def test_followed_over_a_rotation_while_somebody_prints(printed: Layout) -> None:
    log = printed.log("web")
    with log.open("ab", buffering=0) as printing:
        heard: list[str] = []

        def say(line: str) -> None:
            heard.append(line)
            if line == "end":
                raise KeyboardInterrupt

        def listen() -> None:
            with pytest.raises(KeyboardInterrupt):
                logs.follow([log], say)

        listener = threading.Thread(target=listen)
        listener.start()
        for _ in deadline(10):
            printing.write(b"a\n")
            if heard:
                break
        assert rotation.rotate(str(log), 1)
        for _ in deadline(10):
            printing.write(b"end\n")
            if not listener.is_alive():
                break
        listener.join()
    assert heard[0] == "a"
    assert heard[-1] == "end"
    assert log.read_bytes().startswith((b"a", b"end"))


def test_two_old_logs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    for text in ("one", "two", "three", "four"):
        log.write_text(text)
        assert rotation.rotate(str(log), 2)
    assert [path.read_text() for path in sorted(tmp_path.glob("web.log.*"))] == ["four", "three"]
    assert os.path.getsize(log) == 0
    assert not rotation.rotate(str(log), 2)
