"""Questions of the web service: who answers them, once each, and what is said when nobody does."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import answering, questions
from corpus.controller.cloud import Cloud
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, NotThere, UsageError

from tests.machine import deadline
from tests.registries import registry_at


@questions.question("test.sum", own=True)
def _sum(cloud: Cloud, arguments: Mapping[str, Any]) -> int:
    with Path(arguments["file"]).open("a") as file:
        file.write("asked\n")
    return sum(arguments["numbers"])


@questions.question("test.death", own=True)
def _death(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@questions.question("test.nothing", own=True)
def _nothing(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    raise NotThere("There is nothing.")


@questions.question("test.wait", own=True, lasts=True)
def _wait(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    for _ in deadline(60, 0.02):
        if Path(arguments["file"]).exists():
            return


def _settle(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    Path(arguments["file"]).write_text("settled")


@questions.question("test.crash", own=True, lasts=True, died=_settle)
def _crash(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with registry_at(tmp_path):
        made = Cloud(Settings(home=tmp_path))
        yield made
        made.registry.close()


@pytest.fixture
def answers(cloud: Cloud) -> Iterator[answering.Answers]:
    """The process, running."""
    made = answering.Answers(lambda: Cloud(cloud.settings))
    made.keep()
    yield made
    assert made._pid is not None
    os.kill(made._pid, signal.SIGKILL)
    os.waitpid(made._pid, 0)


def _asked(cloud: Cloud, name: str, **arguments: Any) -> Any:
    """Ask, and answer nothing oneself."""
    return questions.read(cloud.registry, questions.ask(cloud.registry, name, arguments, "web"), 30, lambda: None)


def test_the_process_answers(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    for numbers in ([1, 2], [3, 4]):
        assert _asked(cloud, "test.sum", numbers=numbers, file=str(tmp_path / "log")) == sum(numbers)
    with pytest.raises(NotThere, match="There is nothing"):
        _asked(cloud, "test.nothing")
    with pytest.raises(UsageError, match="is no question"):
        _asked(cloud, "test.unknown")


def test_who_dies_while_answering_is_missed(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did not end: ask again"):
        _asked(cloud, "test.death")
    assert _asked(cloud, "test.sum", numbers=[1], file=str(tmp_path / "log")) == 1


def test_what_it_left_is_settled(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    questions.ask(cloud.registry, "test.crash", {"file": str(tmp_path / "log")}, "web")
    for _ in deadline(30, 0.02):
        if (tmp_path / "log").exists():
            break
    assert _asked(cloud, "test.sum", numbers=[1], file=str(tmp_path / "other")) == 1


def test_what_takes_minutes_is_in_nobodys_way(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    go = {"file": str(tmp_path / "go")}
    lasting = [questions.ask(cloud.registry, "test.wait", go, "web") for _ in range(answering.MOST + 4)]
    for uuid in lasting:
        questions.hand(cloud.registry, uuid, lambda: pytest.fail("nobody took it"))
    assert _asked(cloud, "test.sum", numbers=[1, 1], file=str(tmp_path / "log")) == 2
    Path(go["file"]).touch()
    for uuid in lasting:
        assert questions.read(cloud.registry, uuid, 30, lambda: None) is None


def test_where_nobody_takes_what_is_handed_over_the_master_is_told(cloud: Cloud, tmp_path: Path) -> None:
    uuid = questions.ask(cloud.registry, "test.sum", {"numbers": [1], "file": str(tmp_path / "log")}, "web")
    told: list[str] = []
    questions.hand(cloud.registry, uuid, lambda: told.append(uuid))
    assert told == [uuid]


def test_the_process_is_started_again(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    assert answers._pid is not None
    os.kill(answers._pid, signal.SIGKILL)
    os.waitid(os.P_PID, answers._pid, os.WEXITED | os.WNOWAIT)
    answers.keep()
    assert _asked(cloud, "test.sum", numbers=[1], file=str(tmp_path / "log")) == 1


def test_a_question_is_answered_once(cloud: Cloud, answers: answering.Answers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    uuids = [questions.ask(cloud.registry, "test.sum", {"numbers": [1], "file": str(log)}, "web") for _ in range(20)]
    for uuid in uuids:
        questions.answer(cloud, uuid)
    assert [questions.read(cloud.registry, uuid, 30, lambda: None) for uuid in uuids] == [1] * 20
    assert len(log.read_text().splitlines()) == 20


def test_where_nobody_takes_it_the_master_is_told_once(cloud: Cloud, tmp_path: Path) -> None:
    uuid = questions.ask(cloud.registry, "test.sum", {"numbers": [2], "file": str(tmp_path / "log")}, "web")
    told = []

    def tell() -> None:
        told.append(uuid)
        questions.answer(cloud, uuid)

    assert questions.read(cloud.registry, uuid, 30, tell) == 2
    assert told == [uuid]
    with pytest.raises(UsageError, match="no question"):
        questions.answer(cloud, uuid)
