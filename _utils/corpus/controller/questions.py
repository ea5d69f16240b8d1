"""What a service beside the master asks it, through the registry.

The service has neither the master's key nor its bus. It writes a question down and tells the master by
``mc_controller.answer``, which is nearly all that its identity may call; the answer comes back the same way, and is
forgotten when it was read.

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
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError, Forbidden, Locked, MinionFailed, MinionSilent, NotThere, UsageError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.store import Registry

Answerer = Callable[["Cloud", Mapping[str, Any]], Any]

#: Rooms that answer questions.
_ROOMS = ("answers", "looks", "answers_projects")
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
        for room in _ROOMS:
            importlib.import_module(f"corpus.controller.{room}")
    try:
        return _QUESTIONS[name]
    except KeyError:
        raise UsageError(f"{name!r} is no question: there are {', '.join(sorted(_QUESTIONS))}.") from None


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


def answer(cloud: Cloud, uuid: str) -> None:
    """Answer a question: find out, and write it down.

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


def read(registry: Registry, uuid: str, timeout: float) -> Any:
    """Wait for an answer and return it.

    :param timeout: seconds
    :raises CorpusError: what the master refused with, or that it did not answer
    """
    from sqlalchemy import delete, select

    from corpus.controller.registry.models import Question

    end = time.monotonic() + timeout
    pause = 0.02
    while True:
        with registry.reading() as session:
            row = session.scalar(select(Question).where(Question.uuid == uuid, Question.answered.is_not(None)))
        if row is not None:
            break
        if time.monotonic() > end:
            raise CorpusError(f"The master did not answer within {timeout:g} s: see whether salt-master runs.")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)
    with registry.session() as session:
        session.execute(delete(Question).where(Question.uuid == uuid))
    if row.refused is not None:
        raise dict(_BLAMES)[row.blame or "world"](row.refused)
    return row.answer
