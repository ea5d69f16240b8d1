"""One-off processes: a command beside the processes of a release, in its own view, environment and user."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from corpus import processes
from corpus.errors import CorpusError
from corpus.project.layout import Layout
from corpus.project.running import formation, keeper, view


def run(
    layout: Layout, release: str, command: Sequence[str] | str, say: Callable[[str], None], timeout: float | None = None
) -> int:
    """Run a command as the processes of a release are run, and return its exit status (128 + n: ended by signal n).

    It ends with us: when we are killed, so is everything that it started.

    :param release: that was specified (:func:`formation.specify`)
    :param command: words; or a line for the shell, as a ``Procfile`` has it
    :param say: gets each line that it prints, when it comes
    :param timeout: seconds after which it is killed
    :raises CorpusError: nobody wrote down how processes of the release are run; it took too long
    """
    if "env" not in formation.specified(layout, release):
        raise CorpusError(f"How processes of {release} are run is not known (any more): deploy {layout.name!r} again.")
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    status, _ = processes.stream(
        [
            *(sys.executable, "-S", keeper.__file__, str(os.getpid())),
            *(view.__file__, str(layout.processes(release)), view.ONE_OFF, *words),
        ],
        say,
        cwd="/",
        timeout=timeout,
    )
    return status
