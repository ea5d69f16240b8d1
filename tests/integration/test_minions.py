"""Functions called on a real minion through a real master."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.errors import CorpusError, MinionFailed, MinionSilent, UsageError

from tests.master import Master, master

OWN = """
import time

from salt.exceptions import CommandExecutionError


def told(*args, **kwargs):
    return {"args": list(args), "kwargs": {k: v for k, v in kwargs.items() if not k.startswith("__")}}


def refuses():
    raise CommandExecutionError("The cellar is full.")


def breaks():
    return {}["nothing"]


def reports():
    __context__["retcode"] = 1
    return {"result": False, "comment": "The roof leaks.", "changes": {}}


def sleeps(seconds):
    time.sleep(seconds)
    return "slept"
"""


@pytest.fixture(scope="module")
def there() -> Iterator[Master]:
    with tempfile.TemporaryDirectory(prefix="cm-", dir="/tmp") as folder, master(Path(folder) / "m") as made:
        modules = made.folder / "srv/_modules"
        modules.mkdir()
        (modules / "own.py").write_text(OWN)
        made.minion("n1.corpus.test")
        yield made


def call(there: Master, function: str, *args: Any, **kwargs: Any) -> Any:
    return there.cloud().minions.call("n1.corpus.test", function, *args, **kwargs)


def test_a_function_answers_with_what_it_returns(there: Master) -> None:
    told = call(
        there, "own.told", 1, "12", "[a]", {"deep": ["1"]}, key="a=b", number="3", mapping={"x": None}, flag=True
    )
    assert told["args"] == [1, "12", "[a]", {"deep": ["1"]}]
    assert told["kwargs"] == {"key": "a=b", "number": "3", "mapping": {"x": None}, "flag": True}
    with pytest.raises(UsageError, match="by its keyword"):
        call(there, "own.told", "confirm=shop")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("own.refuses", "own.refuses on n1.corpus.test: The cellar is full."),
        ("own.breaks", "own.breaks on n1.corpus.test: KeyError: 'nothing'"),
        ("own.reports", "own.reports on n1.corpus.test: The roof leaks."),
        ("own.nothing", "own.nothing on n1.corpus.test: 'own.nothing' is not available."),
    ],
)
def test_what_fails_says_it_in_the_minions_words(there: Master, function: str, words: str) -> None:
    with pytest.raises(MinionFailed) as failed:
        call(there, function)
    assert str(failed.value) == words


def test_a_failed_state_is_told_by_its_comment(there: Master) -> None:
    (there.folder / "srv/broken.sls").write_text(
        "bad:\n  test.fail_without_changes:\n    - comment: No such wall.\nafter:\n  test.nop:\n    - require: [{test: bad}]\n"
    )
    with pytest.raises(MinionFailed, match=r"state\.apply on n1\.corpus\.test: bad: No such wall\."):
        call(there, "state.apply", "broken")


def test_what_takes_too_long_is_not_waited_for(there: Master) -> None:
    began = time.monotonic()
    with pytest.raises(CorpusError, match=r"own\.sleeps on n1\.corpus\.test did not end within 2 seconds"):
        call(there, "own.sleeps", 20, timeout=2)
    assert time.monotonic() - began < 8


def test_what_takes_long_is_waited_for_as_long_as_the_minion_works(
    there: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.controller.minions.PATIENCE", 1.0)
    assert call(there, "own.sleeps", 5, timeout=60) == "slept"


def test_who_is_not_known_is_told_at_once(there: Master) -> None:
    began = time.monotonic()
    with pytest.raises(MinionSilent, match=r"other\.corpus\.test is not known to this master"):
        there.cloud().minions.call("other.corpus.test", "test.ping")
    assert time.monotonic() - began < 10
    with pytest.raises(UsageError, match="is not a DNS name"):
        there.cloud().minions.call("../x", "test.ping")
    with pytest.raises(UsageError, match="no function"):
        call(there, "test; ping")


def test_a_minion_that_is_gone_is_noticed_long_before_the_time_is_over(
    there: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.controller.minions.PATIENCE", 1.0)
    monkeypatch.setattr("corpus.controller.minions.ANSWERING", 3.0)
    os.killpg(there.processes["n1.corpus.test"].pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(MinionSilent, match=r"n1\.corpus\.test does not answer: is the machine up"):
            call(there, "test.ping", timeout=300)
        assert time.monotonic() - began < 30
        assert there.cloud().minions.answers("n1.corpus.test", timeout=1) is False
        with pytest.raises(MinionSilent, match="did not answer within 1 seconds"):
            there.cloud().minions.wait_for("n1.corpus.test", timeout=1)
    finally:
        os.killpg(there.processes["n1.corpus.test"].pid, signal.SIGCONT)
    assert there.cloud().minions.wait_for("n1.corpus.test", timeout=60) < 60


def test_threads_can_call_at_the_same_time(there: Master) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda at=at: answers.append(call(there, "own.told", at))) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer["args"][0] for answer in answers) == [0, 1, 2, 3]


def test_without_a_master_it_is_said(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="cm-", dir="/tmp") as folder:
        alone = Master(Path(folder) / "m")
        with pytest.raises(CorpusError, match="master"):
            alone.cloud().minions.call("n1.corpus.test", "test.ping")
