"""Commands of a project while it is built: as its user, in its tree, with its environment, shown while they run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from corpus import processes
from corpus.errors import CorpusError

#: what the system offers beside the tree's own programs
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

_CROSS = "\u00d7"  # a multiplication sign is how uv begins an error
_FRAME = f"{_CROSS}╰─▶│├▸ "
_PYTHON_ERROR = re.compile(r"([\w.]*(Error|Exception|Interrupt|NotFound)|ImproperlyConfigured)\b.*")


class CommandFailed(CorpusError):
    """A command of a project ended with another status than 0; the message has what it said about that."""


def search_path(cfg: Mapping[str, Any]) -> str:
    """Return the PATH of a project: its own folders of programs (``paths``) first."""
    return ":".join([*(os.path.join(cfg["project_root"], folder) for folder in cfg.get("paths") or ()), SYSTEM_PATH])


def surroundings(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a project's build commands."""
    env = {key: str(value) for key, value in (cfg.get("env") or {}).items()}
    if cfg:
        env.setdefault("PATH", search_path(cfg))
        env.update(DATA_ROOT=str(cfg["data_root"]), HOME=str(cfg["home"]), CORPUS_PROJECT=str(cfg["name"]))
    return env


def run(
    cfg: Mapping[str, Any],
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command of a project to its end and return what it printed.

    :param argv: its first word is looked for on the project's own PATH; with a slash, from ``cwd``
    :param say: gets each line when it comes
    :param env: variables on top of the project's own
    :param cwd: folder to run it in; the project's tree when not set
    :param user: Unix user; the project's when not set
    :param timeout: seconds after which it is killed
    :raises CommandFailed: it ended with another status than 0
    :raises CorpusError: there is no such program, or it took too long
    """
    cwd = cwd or cfg.get("project_root") or "/"
    variables = {**surroundings(cfg), **(env or {})}
    words = [*argv]
    if "/" in words[0]:
        words[0] = os.path.join(cwd, words[0])
    else:
        words[0] = shutil.which(words[0], path=variables.get("PATH", SYSTEM_PATH)) or processes.which(words[0])
    try:
        status, output = processes.stream(
            words, say, user=user or cfg.get("user"), cwd=cwd, env=variables, timeout=timeout
        )
    except FileNotFoundError as err:
        raise CorpusError(f"{err.filename} does not exist.") from err
    except OSError as err:
        raise CorpusError(f"{words[0]} cannot be run: {err.strerror}.") from err
    if status:
        raise CommandFailed(f"Exit status {status}: {telling(output)}")
    return output


def telling(output: str) -> str:
    """Return the words of a failed command's output that say most, on one line.

    What uv and npm say is put together from several lines; else it is the last line that names an error, else the last.
    """
    lines = [line.strip() for line in output.splitlines()]
    said = [line for line in lines if line] or ["it printed nothing"]
    framed = next((number for number, line in enumerate(lines) if line.startswith(_CROSS)), None)
    if framed is not None:
        return _shortened(_framed(lines[framed:]))
    npm = [line.removeprefix("npm error").strip() for line in said if line.startswith("npm error")]
    if npm:
        return _shortened(_from_npm(npm))
    yarn = [line for line in said if re.match(r"➤ YN(?!0000)\d+", line)]
    if yarn:
        return _shortened(re.sub(r"^➤ YN\d+: [│ ]*", "", yarn[-1]))
    named = next((line for line in reversed(said) if line.lower().startswith(("error", "fatal"))), None)
    if named is not None:
        rest = said[said.index(named) + 1 :]
        causes = [line for line in rest if line.lower().startswith(("cause:", "caused by:"))]
        errors = [line for line in rest if _PYTHON_ERROR.fullmatch(line)] if causes else []
        return _shortened(" ".join([named, *causes, *errors[-1:]]))
    return _shortened(next((line for line in reversed(said) if _PYTHON_ERROR.fullmatch(line)), said[-1]))


def _framed(lines: list[str]) -> str:
    """An error of uv: the paragraph in the frame, and the last line that a failed build wrote."""
    paragraph = []
    for line in lines:
        if not line.strip(_FRAME) or line.startswith(("hint", "[std")):
            break
        paragraph.append(line.strip(_FRAME))
    rest = [line for line in lines[len(paragraph) :] if line]
    hint = next((number for number, line in enumerate(rest) if line.startswith("hint")), len(rest))
    errors = [line for line in rest[:hint] if _PYTHON_ERROR.fullmatch(line)]
    return " ".join([*paragraph, *errors[-1:]])


def _from_npm(lines: list[str]) -> str:
    wanted = [
        line
        for line in lines
        if line
        and not line.startswith(
            ("A complete log", "Clean install", 'Run "npm help', "Usage:", "Options:", "path ", "errno")
        )
    ]
    text: list[str] = []
    for line in wanted:
        plain = re.sub(r"^(?:\d{3}|[A-Z]{5,}|command)(?:\s+|$)", "", line)
        if plain and not plain.startswith("code ") and plain not in text:
            text.append(plain)
    return " ".join(text[:4]) or lines[0]


def _shortened(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= 400 else words[:397] + "..."
