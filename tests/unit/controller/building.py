"""Operations for tests: they build houses of files, also in a process that may die on the way."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.controller import journal, operations
from corpus.controller.cloud import Cloud
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError

PARTS = ("walls", "roof", "door")


def _die(run: Run, moment: str) -> None:
    if run.arguments.get("die") == moment and os.getpid() == Child.pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _path(run: Run, part: str) -> Path:
    return Path(run.arguments["site"]) / f"{run.arguments['name']}.{part}.part"


def _rubble(run: Run, part: str) -> Path:
    return _path(run, part).with_suffix(".rubble")


def _trouble(run: Run, part: str) -> None:
    if run.arguments.get("wait") == part and os.getpid() == Child.pid:
        os.write(Child.says, b"waiting\n")
        os.read(Child.hears, 1)
    if run.arguments.get("fail") == part:
        raise CorpusError(f"The {part} broke.")
    if run.arguments.get("bug") == part:
        1 / 0  # noqa: B018 - the bug


def _part(part: str) -> Step:
    def stands(run: Run) -> bool:
        # A plan does not know how many walls there will be.
        return _path(run, part).exists() or (part == "roof" and run.test and not run.data["walls"])

    def make(run: Run) -> str | None:
        _die(run, f"do {part} before")
        _rubble(run, part).touch()
        _die(run, f"do {part} middle")
        _trouble(run, part)
        _rubble(run, part).rename(_path(run, part))
        if part == "walls":
            run.remember(walls=4)
        _die(run, f"do {part} after")
        return "4 walls" if part == "walls" else None

    def remove(run: Run) -> None:
        if (Path(run.arguments["site"]) / f"stuck.{part}").exists():
            raise CorpusError(f"The {part} are stuck.")
        _die(run, f"undo {part} before")
        _rubble(run, part).unlink(missing_ok=True)
        _die(run, f"undo {part} middle")
        _path(run, part).unlink(missing_ok=True)
        _die(run, f"undo {part} after")

    return Step(part, stands, make, remove)


def _ground(run: Run) -> bool:
    if run.arguments.get("ground") == "swamp":
        raise CorpusError("Nothing stands on swamp.")
    return True


def _tell(run: Run) -> None:
    _die(run, "do tell middle")
    _trouble(run, "tell")


def _told(run: Run) -> bool:
    awaited = any(arg in run.arguments for arg in ("fail", "die")) or run.arguments.get("wait") == "tell"
    return run.test or not awaited or run.arguments.get("fail") == "door"


@operations.kind("house.build")
def build(arguments: Mapping[str, Any]) -> list[Step]:
    return [
        Step("ground", _ground),
        *(_part(part) for part in PARTS),
        Step("tell", _told, _tell, repeatable=True, essential=False),
    ]


def _away(part: str) -> Step:
    def gone(run: Run) -> bool:
        return not _path(run, part).exists()

    def remove(run: Run) -> None:
        _die(run, f"do {part} before")
        _trouble(run, part)
        _die(run, f"do {part} middle")
        _path(run, part).unlink()
        _die(run, f"do {part} after")

    return Step(part, gone, remove)


@operations.kind("house.raze", forward=True)
def raze(arguments: Mapping[str, Any]) -> list[Step]:
    return [_away(part) for part in reversed(PARTS)]


def _die_at_statement(number: int) -> None:
    """Kill the process at a line of the rooms under test, counted over the whole run."""
    files, count = (operations.__file__, journal.__file__, __file__), 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            count += 1
            if count == number * 10:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


class Child:
    """A process that runs an operation, and may die on the way.

    :param arguments: of the operation; ``statement`` says at which statement to die
    """

    pid = says = hears = 0

    def __init__(self, cloud: Cloud, kind: str, arguments: Mapping[str, Any]) -> None:
        (self._hear, says), (hears, self._say) = os.pipe(), os.pipe()
        self.number = os.fork()
        if self.number == 0:
            status = 1
            try:
                Child.pid, Child.says, Child.hears = os.getpid(), says, hears
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as salt-run does
                if "statement" in arguments:
                    _die_at_statement(arguments["statement"])
                status = 0 if operations.run(cloud, kind, arguments, "ada")["result"] else 1
            finally:
                os._exit(status)
        os.close(says)
        os.close(hears)

    def waits(self) -> None:
        """Return when it waits in the middle of a step."""
        assert os.read(self._hear, 8) == b"waiting\n"

    def go_on(self) -> None:
        """Let it go on."""
        os.write(self._say, b"!")

    def ended(self) -> int:
        """Wait for its end; return its exit status, or the negative signal that killed it."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        os.close(self._hear)
        os.close(self._say)
        return status
