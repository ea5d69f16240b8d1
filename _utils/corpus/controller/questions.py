"""What a service beside the master asks it, through the registry.

The service has neither the master's key nor its bus. It writes a question down, and a process of the master's answers it
(:mod:`corpus.controller.answering`); where nobody took it, the service tells the master by ``mc_controller.answer``, which
is all that its identity may call. The answer comes back the same way, and is forgotten when it was read.

That an operation be done is asked the same way; whoever asked waits until somebody does it, and no longer.

.. code-block:: python

    @questions.question("guest.look")
    def look(cloud, arguments):
        return guests.infos(cloud, arguments["name"])

Who asks is checked where the answer is made, too: by :mod:`corpus.controller.permissions`, the question's name being the
action. An answer may be read by whoever can read the registry: it holds no secrets.
"""

from __future__ import annotations

import datetime
import importlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError, Forbidden, Locked, MinionFailed, MinionSilent, NotThere, UsageError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import Question
    from corpus.controller.registry.store import Registry

Answerer = Callable[["Cloud", Mapping[str, Any]], Any]

#: Rooms that answer questions.
_ROOMS = ("answers", "looks", "answers_projects")
#: Seconds after which the master is told of a question that nobody took.
UNTAKEN = 0.7
#: How long an answer waits to be read.
KEPT = datetime.timedelta(hours=1)
#: Questions that wait and are looked at.
_LOOKED_AT = 100
_BLAMES: tuple[tuple[str, type[CorpusError]], ...] = (
    ("nothing", NotThere),
    ("usage", UsageError),
    ("forbidden", Forbidden),
    ("locked", Locked),
    ("silent", MinionSilent),
    ("failed", MinionFailed),
    ("world", CorpusError),
)


@dataclass(frozen=True)
class Known:
    """What there is to be asked.

    :param own: it is the service's own question, and no person's: not checked
    :param lasts: it may take minutes
    :param died: is called with the same when the process died that should have answered
    """

    answer: Answerer
    own: bool
    lasts: bool
    died: Answerer | None


_QUESTIONS: dict[str, Known] = {}


def question(
    name: str, own: bool = False, lasts: bool = False, died: Answerer | None = None
) -> Callable[[Answerer], Answerer]:
    """Register a function that answers a question.

    :param name: ``<noun>.<verb>``, which :data:`corpus.controller.permissions.RULES` knows as an action
    :param own: it is the service's own question, and no person's: not checked
    :param lasts: it may take minutes
    :param died: is called with the same when the process died that should have answered
    """

    def register(answerer: Answerer) -> Answerer:
        _QUESTIONS[name] = Known(answerer, own, lasts, died)
        return answerer

    return register


def find(name: str) -> Known:
    """Return what is known of a question.

    :raises UsageError: there is none of that name
    """
    if name not in _QUESTIONS:
        load()
    try:
        return _QUESTIONS[name]
    except KeyError:
        raise UsageError(f"{name!r} is no question: there are {', '.join(sorted(_QUESTIONS))}.") from None


def load() -> None:
    """Import everything that answers."""
    for room in _ROOMS:
        importlib.import_module(f"corpus.controller.{room}")


def ask(registry: Registry, name: str, arguments: Mapping[str, Any], who: str) -> str:
    """Write a question down; return its uuid.

    :param arguments: JSON
    :param who: asks
    """
    from corpus.controller.registry.models import Question

    with registry.session() as session:
        row = Question(name=name, arguments=json.loads(json.dumps(dict(arguments))), who=who[:100])
        session.add(row)
        session.flush()
        return row.uuid


def waiting(registry: Registry, most: int) -> list[tuple[str, bool]]:
    """Return the uuids of questions that nobody took, the oldest first, and whether each lasts.

    :param most: of those that do not; there is no limit for the others
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Question

    wanted = select(Question.uuid, Question.name).where(Question.taken.is_(None), Question.answered.is_(None))
    with registry.reading() as session:
        rows = session.execute(wanted.order_by(Question.id).limit(_LOOKED_AT)).all()
    found = []
    for uuid, name in rows:
        lasts = name in _QUESTIONS and _QUESTIONS[name].lasts
        most -= not lasts
        if lasts or most >= 0:
            found.append((uuid, lasts))
    return found


def take(registry: Registry, uuid: str) -> bool:
    """Take a question, to answer it; return whether nobody else did."""
    from sqlalchemy import update

    from corpus.controller.registry.models import Question, now

    mine = update(Question).where(Question.uuid == uuid, Question.taken.is_(None)).values(taken=now())
    with registry.session() as session:
        return session.scalar(mine.returning(Question.id)) is not None


def abandon(cloud: Cloud, uuid: str) -> None:
    """Say of a question that was taken that it gets no answer any more, and let what it left be settled."""
    from sqlalchemy import update

    from corpus.controller.registry.models import Question, now

    words = "The master began to answer, and did not end: ask again. Its log may tell more."
    unanswered = (
        update(Question)
        .where(Question.uuid == uuid, Question.answered.is_(None))
        .values(answered=now(), refused=words, blame="world")
        .returning(Question.name, Question.arguments)
    )
    with cloud.registry.session() as session:
        row = session.execute(unanswered).one_or_none()
    if row is not None and (died := find(row.name).died):
        died(cloud, row.arguments)


def answer(cloud: Cloud, uuid: str) -> None:
    """Answer a question, unless somebody else does.

    :raises UsageError: there is no such question
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Question

    if take(cloud.registry, uuid):
        work(cloud, uuid)
        return
    with cloud.registry.reading() as session:
        if session.scalar(select(Question.id).where(Question.uuid == uuid)) is None:
            raise UsageError(f"There is no question {uuid!r} that waits for an answer.")


def work(cloud: Cloud, uuid: str) -> None:
    """Find out the answer to a question that was taken, and write it down.

    :raises UsageError: there is no such question
    """
    from sqlalchemy import select

    from corpus.controller import identities
    from corpus.controller.registry.models import Question, now

    wanted = select(Question).where(Question.uuid == uuid, Question.answered.is_(None))
    with cloud.registry.reading() as session:
        row = session.scalar(wanted)
        if row is None:
            raise UsageError(f"There is no question {uuid!r} that waits for an answer.")
        name, arguments, who = row.name, dict(row.arguments), row.who
    found: Any = None
    refused = blame = None
    try:
        known = find(name)
        if not known.own:
            identities.check(cloud, who, name, arguments)
        found = json.loads(json.dumps(known.answer(cloud, arguments), default=str))
    except CorpusError as err:
        refused = str(err)
        blame = next(word for word, kind in _BLAMES if isinstance(err, kind))
    except BaseException as err:  # also when it is told to end
        refused, blame = f"The master could not answer: {type(err).__name__}. Its log tells more.", "world"
        raise
    finally:
        with cloud.registry.session() as session:
            row = session.scalar(wanted)
            if row is not None:
                row.answered, row.answer, row.refused, row.blame = now(), found, refused, blame


def read(registry: Registry, uuid: str, timeout: float, tell: Callable[[], None]) -> Any:
    """Wait for an answer and return it.

    :param timeout: seconds
    :param tell: is called when nobody took the question for a while
    :raises CorpusError: what the master refused with, or that it did not answer
    """
    from sqlalchemy import delete

    from corpus.controller.registry.models import Question

    until = time.monotonic() + timeout
    hand(registry, uuid, tell)
    row = _awaited(registry, uuid, until, lambda row: row.answered is not None)
    if row is None:
        raise CorpusError(f"The master did not answer within {timeout:g} s: see whether salt-master runs.")
    with registry.session() as session:
        session.execute(delete(Question).where(Question.uuid == uuid))
    if row.refused is not None:
        raise dict(_BLAMES)[row.blame or "world"](row.refused)
    return row.answer


def hand(registry: Registry, uuid: str, tell: Callable[[], None]) -> None:
    """Wait until somebody took a question, whose answer need not be waited for.

    :param tell: is called when nobody took it for a while
    """
    if _awaited(registry, uuid, time.monotonic() + UNTAKEN, lambda row: row.taken is not None) is None:
        tell()


def _awaited(registry: Registry, uuid: str, until: float, so: Callable[[Question], bool]) -> Question | None:
    """Return a question when it is so; None: it was not in time.

    :param until: by the monotonic clock
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Question

    pause = 0.02
    while True:
        with registry.reading() as session:
            row = session.scalar(select(Question).where(Question.uuid == uuid))
        if row is not None and so(row):
            return row
        if time.monotonic() > until:
            return None
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)
