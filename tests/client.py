"""The ``corpus`` command, as a person on a laptop of their own calls it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.machine import Ended
from tests.web import PASSWORD

CTRL_C = b"\x03"
COMMAND = str(Path(sys.executable).parent / "corpus")


@dataclass
class Laptop:
    """A person's home.

    :param home: everything of theirs lies below it
    :param url: of the service that their endpoint ``prod`` is
    :param name: their login name
    """

    home: Path
    url: str
    name: str = "ada"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        self.configure({"prod": {"url": self.url, "id": self.name, "password": PASSWORD}})

    @property
    def settings(self) -> Path:
        return self.home / ".makinastates.conf"

    def configure(self, told: Any, mode: int = 0o600) -> None:
        """Write the settings' file."""
        self.settings.write_text(told if isinstance(told, str) else yaml.safe_dump(told))
        self.settings.chmod(mode)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {**kept, "HOME": str(self.home), "COLUMNS": "200", **self.env, **more}

    def corpus(self, *words: str, cwd: Path | None = None, stdin: str = "", **more: str) -> Ended:
        """The command, piped."""
        ended = subprocess.run(
            [COMMAND, *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=self.environment(**more),
            timeout=120,
            check=False,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def ok(self, *words: str, **more: Any) -> str:
        """What it printed; it must have worked."""
        ended = self.corpus(*words, **more)
        assert ended.status == 0, ended.said
        return ended.output

    def json(self, *words: str, **more: Any) -> Any:
        """What it printed as JSON; it must have worked."""
        return json.loads(self.ok(words[0], "--json", *words[1:], **more))

    def typed(
        self, *words: str, answers: Sequence[str] = (), when: Mapping[str, Callable[[], object]] | None = None
    ) -> tuple[int, str]:
        """The command on a terminal; its exit status, and what was shown.

        :param answers: what a person types at each question
        :param when: what happens as soon as some words were shown
        """
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(COMMAND, [COMMAND, *words], self.environment(TERM="xterm-256color"))
        shown, asked, end, waiting = b"", list(answers), time.monotonic() + 60, dict(when or {})
        while select.select([terminal], [], [], end - time.monotonic())[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # it ended
                break
            shown += part
            for said in [one for one in waiting if one.encode() in shown]:
                if waiting.pop(said)() == CTRL_C:
                    os.write(terminal, CTRL_C)
            if asked and shown.rstrip().endswith(b":"):
                os.write(terminal, f"{asked.pop(0)}\n".encode())
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()
