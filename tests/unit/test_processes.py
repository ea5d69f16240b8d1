"""Other programs: found, run, streamed, stopped."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from corpus import processes
from corpus.errors import CorpusError, MissingTool

from tests.machine import deadline

SH = "/bin/sh"


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("nginx", "nginx-light"),
        ("ssh-keygen", "openssh-client"),
        ("scp", "openssh-client"),
        ("git", "git"),
        ("rsync", "rsync"),
        ("supervisord", "supervisor"),
        ("visudo", "sudo"),
        ("frobnicate", "frobnicate"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, package: str
) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda name, path: None)
    with pytest.raises(MissingTool, match=rf"^{program} is not installed: .*apt-get install {package}\)"):
        processes.which(program)


def test_programs_are_found_on_path_beside_python_and_in_sbin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = tmp_path / "frobnicate"
    ours.write_text("#!/bin/sh\n")
    ours.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert processes.which("frobnicate") == str(ours)
    assert processes.which("useradd") == "/usr/sbin/useradd"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert processes.which("frobnicate") == str(ours)


def test_a_program_that_is_missing_is_refused_before_it_runs() -> None:
    with pytest.raises(MissingTool, match="frobnicate"):
        processes.run(["frobnicate", "--now"])


def test_run_keeps_streams_and_status_apart() -> None:
    result = processes.run([SH, "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (result.status, result.output, result.errors) == (3, "out\n", "err\n")
    assert result.last_words == "err"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo a; echo b; echo; exit 1", "b"),
        ("echo out; echo why >&2; exit 1", "why"),
        ("exit 7", "exit status 7"),
        ("printf '\\377\\n' >&2; exit 1", "�"),
    ],
)
def test_a_failure_says_its_last_words(script: str, words: str) -> None:
    with pytest.raises(CorpusError, match=rf"^sh failed \(exit status \d\): {words}$"):
        processes.run([SH, "-c", script])


def test_run_shows_nothing_to_a_shell(tmp_path: Path) -> None:
    hostile = f"$(touch {tmp_path}/pwned); `id` > {tmp_path}/pwned & 'x"
    assert processes.run(["printf", "%s", hostile]).output == hostile
    assert list(tmp_path.iterdir()) == []


def test_run_hands_over_folder_environment_and_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONE", "1")
    result = processes.run(
        [SH, "-c", 'pwd; echo "$NEW ${GONE-unset}"; cat'], cwd=tmp_path, env={"NEW": "é", "GONE": None}, stdin="in"
    )
    assert result.output == f"{tmp_path}\né unset\nin"


def test_run_does_not_wait_for_a_person_to_type() -> None:
    assert processes.run(["cat"], timeout=10).output == ""


def test_run_is_over_when_its_time_is() -> None:
    began = time.monotonic()
    with pytest.raises(CorpusError, match=r"^sleep did not end within 0\.2 seconds\.$"):
        processes.run(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - began < 10


def test_run_as_nobody_we_know() -> None:
    if os.geteuid() == 0:
        with pytest.raises(CorpusError, match="no user 'no-such-user'"):
            processes.run(["true"], user="no-such-user")
        assert processes.run(["id", "-un"], user="nobody", cwd="/").output == "nobody\n"
        assert processes.run([SH, "-c", "echo $USER"], user="nobody", cwd="/").output == "nobody\n"
    else:
        assert processes.run(["true"], user="no-such-user").status == 0


def test_stream_tells_lines_as_they_come(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line == "first":  # the program goes on only when its first line has arrived
            gate.write_text("go")

    status, output = processes.stream(
        [SH, "-c", f"echo first; cat {gate} > /dev/null; echo second >&2; printf 'no end'; exit 4"], say, timeout=30
    )
    assert (status, said) == (4, ["first", "second", "no end"])
    assert output == "first\nsecond\nno end"


def test_stream_takes_any_bytes() -> None:
    said: list[str] = []
    processes.stream([SH, "-c", r"printf '10%%\r20%%\r\n\377\303\251\n\n'"], said.append)
    assert said == ["10%", "20%", "�é", ""]


def test_stream_hands_over_folder_and_environment(tmp_path: Path) -> None:
    assert processes.stream([SH, "-c", "pwd; echo $NEW"], lambda line: None, cwd=tmp_path, env={"NEW": "x"}) == (
        0,
        f"{tmp_path}\nx\n",
    )


@pytest.mark.parametrize(
    "script",
    [
        "sleep 30 & echo $!; wait",
        "sleep 30 & echo $!",
        "setsid sleep 30 & echo $!; wait",
        "sh -c 'sleep 30 & echo $!; wait' & wait",
        "trap '' TERM; sleep 30 & echo $!; wait",
    ],
    ids=["child", "orphan", "own session", "grandchild", "deaf"],
)
def test_stream_kills_children_when_its_time_is_over(script: str) -> None:
    said: list[str] = []
    began = time.monotonic()
    with pytest.raises(CorpusError, match=r"^/bin/sh did not end within 0\.5 seconds\.$"):
        processes.stream([SH, "-c", script], said.append, timeout=0.5)
    assert time.monotonic() - began < 20
    for _ in deadline(10):
        if gone(int(said[0])):
            break


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
