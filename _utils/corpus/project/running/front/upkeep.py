"""What the caretaker does in a round: renew certificates that have a third of their life left, put large logs away."""

from __future__ import annotations

import sys
from pathlib import Path

from corpus.errors import CorpusError, Locked
from corpus.project.keeping import lock
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout, Roots
from corpus.project.running import supervision
from corpus.project.running.front.front import Front


def round_of(roots: Roots) -> list[str]:
    """Look after every project once; one whose turn goes wrong is not in the way of the others.

    :returns: what went wrong, in sentences
    """
    front = Front(roots, supervision.of(roots))
    problems = []
    for name in roots.names():
        layout = Layout(roots, name)
        try:
            problems.append(renew(front, layout))
        except Locked:
            continue  # a deployment is under way: the next round will do
        except (CorpusError, OSError) as err:
            problems.append(f"{name}: {err}")
    try:
        front.rotate_logs()
    except (CorpusError, OSError) as err:
        problems.append(str(err))
    return [problem for problem in problems if problem]


def renew(front: Front, layout: Layout, force: bool = False) -> str:
    """Renew the certificate of a project when it is time; return what went wrong, or an empty text.

    :raises Locked: somebody works on the project
    """
    if not front.site(layout).exists():
        return ""
    with lock.held(layout, "renew the certificate of", "the caretaker"):
        if Journal.left_behind(layout) is not None:
            return ""  # what serves may be undone: the next deployment decides
        return front.certify(layout, force)


if __name__ == "__main__":
    for line in round_of(Roots(projects=Path(sys.argv[1]))):
        print(f"{lock.now()} {line}", flush=True)  # noqa: T201 - its log is what the supervisor keeps of it
