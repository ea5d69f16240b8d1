"""Keeps what the processes of all projects print short: a log that grew large is moved aside, two of them are kept.

A program that a supervisor keeps running, and needs nothing but Python: ``rotation.py PROJECTS``. A log is copied and then
emptied, because those who print hold it open; they append, so they go on at its new end. Whoever owns the logs
could put links in their place: everything is done as the owner of their folder.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import time

LIMIT = 5 << 20
KEPT = 2
_SECONDS = 60


def rotate(log: str, limit: int = LIMIT) -> bool:
    """Move what is in a log aside when it is larger than ``limit`` bytes; return whether it was.

    :raises OSError: it is a link, or there is no room
    """
    with open(os.open(log, os.O_RDWR | os.O_NOFOLLOW), "r+b") as stream:
        if os.fstat(stream.fileno()).st_size <= limit:
            return False
        for number in range(KEPT, 1, -1):
            if os.path.lexists(f"{log}.{number - 1}"):
                os.replace(f"{log}.{number - 1}", f"{log}.{number}")
        with open(os.open(f"{log}.1", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640), "wb") as aside:
            shutil.copyfileobj(stream, aside)
        stream.truncate(0)
        return True


def _as_owner(folder: str) -> None:
    """Rotate the logs of a folder in a child that is its owner."""
    child = os.fork()
    if child == 0:
        try:
            status = os.stat(folder, follow_symlinks=False)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(status.st_gid)
                os.setuid(status.st_uid)
            for log in glob.glob(os.path.join(glob.escape(folder), "*.log")):
                if os.path.islink(log):  # the access log: the web front looks after it
                    continue
                try:
                    rotate(log)
                except OSError as err:
                    print(f"{log}: {err.strerror}", file=sys.stderr)  # noqa: T201 - a program of its own
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def main(projects: str) -> None:
    """Look after all logs once a minute, as long as the supervisor lives."""
    supervisor = os.getppid()
    while os.getppid() == supervisor:
        for folder in glob.glob(os.path.join(glob.escape(projects), "*", "logs")):
            _as_owner(folder)
        time.sleep(_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
