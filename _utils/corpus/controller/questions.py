"""What a service beside the master asks it, through the registry.

The service has neither the master's key nor its bus. It writes a question down, and a process of the master's answers it
(:mod:`corpus.controller.answering`); where nobody took it, the service tells the master by ``mc_controller.answer``, which
is nearly all that its identity may call. The answer comes back the same way, and is forgotten when it was read.

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
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError, Forbidden, Locked, MinionFailed, MinionSilent, NotThere, UsageError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.store import Registry

Answerer = Callable[["Cloud", Mapping[str, Any]], Any]

#: Rooms that answer questions.
_ROOMS = ("answers", "looks", "answers_projects")
#: Seconds after which the master is told of a question that nobody took.
UNTAKEN = 0.7
#: How long an answer waits to be read.
KEPT = datetime.timedelta(hours=1)
_BLAMES: tuple[tuple[str, type[CorpusError]], ...] = (
    ("nothing", NotThere),
    ("usage", UsageError),
    ("forbidden", Forbidden),
    ("locked", Locked),
    ("silent", MinionSilent),
    ("failed", MinionFailed),
    ("world", CorpusError),
)
_QUESTIONS: dict[str, tuple[Answerer, bool]] = {}


def question(name: str, own: bool = False) -> Callable[[Answerer], Answerer]:
    """Register a function that answers a question.

    :param name: ``<noun>.<verb>``, which :data:`corpus.controller.permissions.RULES` knows as an action
    :param own: it is the service's own question, and no person's: not checked
    """

    def register(answerer: Answerer) -> Answerer:
        _QUESTIONS[name] = (answerer, own)
        return answerer

    return register


def find(name: str) -> tuple[Answerer, bool]:
    """Return what answers a question, and whether it is the service's own.

    :raises UsageError: there is none of that name
    """
    if name not in _QUESTIONS:
        for room in rooms():
            importlib.import_module(room)
    try:
        return _QUESTIONS[name]
    except KeyError:
        raise UsageError(f"{name!r} is no question: there are {', '.join(sorted(_QUESTIONS))}.") from None


def rooms() -> list[str]:
    """The modules that answer."""
    return [f"corpus.controller.{room}" for room in _ROOMS]


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


def waiting(registry: Registry, most: int) -> Sequence[str]:
    """Return the uuids of questions that nobody took, the oldest first."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Question

    wanted = select(Question.uuid).where(Question.taken.is_(None), Question.answered.is_(None))
    with registry.reading() as session:
        return session.scalars(wanted.order_by(Question.id).limit(most)).all()


def take(registry: Registry, uuid: str) -> bool:
    """Take a question, to answer it; return whether nobody else did."""
    from sqlalchemy import update

    from corpus.controller.registry.models import Question, now

    mine = update(Question).where(Question.uuid == uuid, Question.taken.is_(None)).values(taken=now())
    with registry.session() as session:
        return session.scalar(mine.returning(Question.id)) is not None


def abandon(registry: Registry, uuid: str) -> None:
    """Say of a question that was taken that it gets no answer any more."""
    from sqlalchemy import update

    from corpus.controller.registry.models import Question, now

    words = "The master began to answer, and did not end: ask again. Its log may tell more."
    unanswered = update(Question).where(Question.uuid == uuid, Question.answered.is_(None))
    with registry.session() as session:
        session.execute(unanswered.values(answered=now(), refused=words, blame="world"))


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
        answerer, own = find(name)
        if not own:
            identities.check(cloud, who, name, arguments)
        found = json.loads(json.dumps(answerer(cloud, arguments), default=str))
    except CorpusError as err:
        refused = str(err)
        blame = next(word for word, kind in _BLAMES if isinstance(err, kind))
    except Exception as err:
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
    from sqlalchemy import delete, select

    from corpus.controller.registry.models import Question

    began, told = time.monotonic(), False
    pause = 0.02
    while True:
        with registry.reading() as session:
            row = session.scalar(select(Question).where(Question.uuid == uuid))
        if row is not None and row.answered is not None:
            break
        waited = time.monotonic() - began
        if waited > UNTAKEN and not told and row is not None and row.taken is None:
            told = True
            tell()
        if waited > timeout:
            raise CorpusError(f"The master did not answer within {timeout:g} s: see whether salt-master runs.")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)
    with registry.session() as session:
        session.execute(delete(Question).where(Question.uuid == uuid))
    if row.refused is not None:
        raise dict(_BLAMES)[row.blame or "world"](row.refused)
    return row.answer
