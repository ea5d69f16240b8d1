"""The caretaker of the front: looks every hour after certificates and logs, for as long as the supervisor runs.

This file is also a program, and needs nothing but Python: ``caretaker.py FOLDER PROJECTS`` sleeps nearly always, and
lets a process of its own, which ends, do the work (:mod:`corpus.project.running.front.upkeep`).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

_HOUR = 3600


def main(folder: str, projects: str, pause: float = _HOUR) -> None:
    """Work, sleep, and begin again.

    :param folder: in which the package ``corpus`` is, absolute
    :param projects: folder of all projects, absolute
    :param pause: seconds between the end of one round and the next
    """
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SUPERVISOR_SERVER_URL")}
    env["PYTHONPATH"] = folder
    while True:
        time.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - not all machines at the same second
        subprocess.run(
            [sys.executable, "-m", "corpus.project.running.front.upkeep", projects],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            check=False,
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else _HOUR)
