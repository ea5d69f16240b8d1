"""Other programs: an argument list goes in, a result comes out. No shell ever sees what came from outside."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from corpus.errors import CorpusError, MissingTool

#: Debian's package for each program that corpus calls
PACKAGES = {
    "btrfs": "btrfs-progs",
    "composer": "composer",
    "lxc-start": "lxc",
    "lxc-autostart": "lxc",
    "mkfs.btrfs": "btrfs-progs",
    "mysql": "mariadb-client",
    "mysqldump": "mariadb-client",
    "pg_dump": "postgresql-client",
    "psql": "postgresql-client",
    "git": "git",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "nft": "nftables",
    "nginx": "nginx-light",
    "rsync": "rsync",
    "scp": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sudo": "sudo",
    "useradd": "passwd",
    "cp": "coreutils",
    "supervisord": "supervisor",
    "visudo": "sudo",
}


@dataclass(frozen=True)
class Result:
    """What a finished program left behind: its exit status and what it printed, decoded as UTF-8."""

    argv: tuple[str, ...]
    status: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line that says something, for a message."""
        lines = [line.strip() for line in (self.errors + "\n" + self.output).splitlines() if line.strip()]
        errors = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return (errors or lines or [f"exit status {self.status}"])[-1]


def which(program: str) -> str:
    """Return the absolute path of ``program``, from PATH, beside this Python, or from the administrator's folders.

    :raises MissingTool: it is not installed; the message names the package
    """
    here = str(Path(sys.executable).parent)
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), here, "/usr/local/sbin:/usr/sbin:/sbin"])
    found = shutil.which(program, path=places)
    if found:
        return found
    package = PACKAGES.get(program, program)
    raise MissingTool(f"{program} is not installed: install it first (Debian, Ubuntu: apt-get install {package}).")


def identity(user: str | None) -> dict[str, object]:
    """Return the keyword arguments by which subprocess becomes ``user``; empty when we are that user already."""
    if not user or os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except KeyError as err:
        raise CorpusError(f"There is no user {user!r} on this machine: run mc_project.init_project again.") from err
    if entry.pw_uid == 0:
        return {}
    return {
        "user": entry.pw_uid,
        "group": entry.pw_gid,
        "extra_groups": os.getgrouplist(user, entry.pw_gid),
    }


def environment(user: str | None, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return our environment as ``user`` should have it.

    :param changes: variables to set; those that are None are taken out
    """
    ours = dict(os.environ)
    if identity(user):
        entry = pwd.getpwnam(str(user))
        ours.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    for name, value in (changes or {}).items():
        ours.pop(name, None)
        if value is not None:
            ours[name] = value
    return ours


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    user: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Result:
    """Run a program to its end and return its :class:`Result`.

    :param user: become this user first (root only; otherwise run as ourselves)
    :param env: variables added to our own environment, or taken out of it (None)
    :param timeout: seconds after which it is killed
    :param check: raise when the exit status is not 0
    :raises CorpusError: it failed (``check``), or took longer than ``timeout``
    """
    words = [os.fspath(word) for word in argv]
    words[0] = which(words[0]) if "/" not in words[0] else words[0]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=cwd,
            env=environment(user, env),
            timeout=timeout,
            check=False,
            **identity(user),  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired as err:
        raise CorpusError(f"{Path(words[0]).name} did not end within {timeout:g} seconds.") from err
    result = Result(tuple(words), done.returncode, done.stdout, done.stderr)
    if check and result.status:
        raise CorpusError(f"{Path(words[0]).name} failed (exit status {result.status}): {result.last_words}")
    return result


def pour(
    argv: Sequence[str],
    into: IO[bytes],
    *,
    user: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> None:
    """Run a program and let it write what it prints into an open file.

    :raises CorpusError: it failed
    """
    done = subprocess.run(
        [which(argv[0]), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=into,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment(user, env),
        check=False,
        **identity(user),  # type: ignore[call-overload]
    )
    if done.returncode:
        result = Result(tuple(argv), done.returncode, "", done.stderr.decode("utf-8", "replace"))
        raise CorpusError(f"{argv[0]} failed (exit status {done.returncode}): {result.last_words}")


def write(path: Path, content: str, mode: int, user: str | None) -> None:
    """Write a file in a folder of ``user``, as that user: no link there leads us anywhere else.

    :param mode: permission bits
    :raises CorpusError: the user may not, or the folder does not exist
    """
    run(["rm", "-f", "--", path], user=user, cwd="/")
    run(["tee", "--", path], stdin=content, user=user, cwd="/")
    run(["chmod", f"{mode:04o}", "--", path], user=user, cwd="/")


def stream(
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    user: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout: float | None = None,
) -> tuple[int, str]:
    """Run a program and hand every line it prints to ``say`` as it comes.

    :returns: its exit status and all that it printed (both streams, in order)
    :raises CorpusError: it took longer than ``timeout`` seconds and was killed
    """
    lines: list[str] = []
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        cwd=cwd,
        env=environment(user, env),
        # A group to kill when time is over; in our session still, by which a whole deployment is found.
        preexec_fn=os.setpgrp if timeout is not None else None,
        **identity(user),  # type: ignore[call-overload]
    ) as process:
        alarm = _Alarm(process, timeout)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                say(line.rstrip("\n"))
            status = process.wait()
        finally:
            alarm.cancel()
    if alarm.rang:
        raise CorpusError(f"{argv[0]} did not end within {timeout:g} seconds.")
    return status, "".join(lines)


class _Alarm:
    """Kills a process and its children when its time is over."""

    def __init__(self, process: subprocess.Popen[str], seconds: float | None) -> None:
        import threading

        self.rang = False
        self._process = process
        self._timer = threading.Timer(seconds, self._ring) if seconds is not None else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def _ring(self) -> None:
        import psutil

        self.rang = True
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):  # those with a session of their own would keep the pipe open
            children = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
