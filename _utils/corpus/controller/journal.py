"""What an operation did so far, in the registry: each step is written down before it is taken."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import NotYet, UsageError

if TYPE_CHECKING:
    from corpus.controller.registry import models
    from corpus.controller.registry.store import Registry

#: States of an operation that is under way, or whose process died.
UNFINISHED = ("planned", "running", "undoing")
#: How long an operation may wait to be begun before it is begun by whoever settles what is left.
WAITING = datetime.timedelta(minutes=1)
_CALLS = "_calls"


class Memory(dict[str, Any]):
    """What steps remember for each other; JSON. A key that no step has set yet is an error with words."""

    def __missing__(self, key: str) -> Any:
        raise NotYet(f"{key!r} is not known: the step that finds it was not taken.")


@dataclass
class Entry:
    """A step in the journal.

    :param state: one of the registry's states of steps
    :param started: when it was taken; None: it was not
    :param finished: when it was over, one way or the other
    :param message: what came of it, or went wrong
    """

    name: str
    state: str
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    message: str | None = None

    @property
    def taken(self) -> bool:
        """Whether something of it may be there."""
        return self.started is not None and self.state in ("running", "done", "failed", "undoing")

    @property
    def settled(self) -> bool:
        """Whether nothing of it is to be done any more."""
        return self.state in ("done", "skipped")

    def told(self) -> dict[str, Any]:
        """Return it as a plain mapping."""
        seconds = (self.finished - self.started).total_seconds() if self.started and self.finished else 0.0
        return {"name": self.name, "state": self.state, "seconds": round(seconds, 3), "message": self.message or ""}


class Journal:
    """The record of one operation.

    :param registry: where it is kept
    :param row: the operation, with its steps
    """

    calls: dict[str, str]
    """Jobs on minions that were not answered yet: the minion by the job's id."""

    def __init__(self, registry: Registry, row: models.Operation) -> None:
        self._registry = registry
        self.uuid, self.kind, self.who, self.state = row.uuid, row.kind, row.who, row.state
        self.subject = row.subject
        self.arguments: dict[str, Any] = dict(row.arguments)
        self.data = Memory(row.data)
        self.calls: dict[str, str] = dict(self.data.pop(_CALLS, {}))
        self.message = row.message
        self.created, self.finished = row.created, row.finished
        self.entries = [Entry(step.name, step.state, step.started, step.finished, step.message) for step in row.steps]

    @classmethod
    def begin(
        cls,
        registry: Registry,
        kind: str,
        subject: str,
        arguments: Mapping[str, Any],
        who: str,
        steps: list[str],
        state: str = "running",
    ) -> Journal:
        """Write down an operation that is about to begin, or (``planned``) that waits for the master to begin it."""
        from corpus.controller.registry import models

        with registry.session() as session:
            row = models.Operation(
                kind=kind, subject=subject[:300], arguments=dict(arguments), state=state, who=who, data={}
            )
            row.started = models.now() if state == "running" else None
            row.steps = [models.Step(position=at, name=name, state="planned") for at, name in enumerate(steps)]
            session.add(row)
            session.flush()
            return cls(registry, row)

    @classmethod
    def load(cls, registry: Registry, uuid: str) -> Journal:
        """Return the journal of an operation.

        :raises UsageError: there is none of that uuid
        """
        from sqlalchemy import select

        from corpus.controller.registry import models

        with registry.reading() as session:
            row = session.scalar(select(models.Operation).where(models.Operation.uuid == uuid))
            if row is None:
                raise UsageError(f"There is no operation {uuid!r}: see mc_controller.operations.")
            return cls(registry, row)

    @classmethod
    def unfinished(cls, registry: Registry) -> Iterator[Journal]:
        """Yield the operations that are under way or whose process died, the oldest first."""
        from sqlalchemy import select
        from sqlalchemy.orm import selectinload

        from corpus.controller.registry import models

        with registry.reading() as session:
            rows = session.scalars(
                select(models.Operation)
                .where(models.Operation.state.in_(UNFINISHED))
                .order_by(models.Operation.id)
                .options(selectinload(models.Operation.steps))
            ).all()
            found = [cls(registry, row) for row in rows]
        yield from found

    def waits_too_long(self) -> bool:
        """Tell whether whoever should have begun it never came."""
        from corpus.controller.registry import models

        return self.state == "planned" and models.now() - self.created > WAITING

    def is_outdated(self) -> bool:
        """Tell whether something was done to the same subject after this operation."""
        from sqlalchemy import select

        from corpus.controller.registry import models

        with self._registry.reading() as session:
            ours = session.scalars(select(models.Operation).where(models.Operation.uuid == self.uuid)).one()
            later = select(models.Operation.id).where(
                models.Operation.subject == ours.subject,
                models.Operation.id > ours.id,
                models.Operation.state == "done",
            )
            return session.scalar(later.limit(1)) is not None

    def entry(self, name: str) -> Entry:
        """Return a step's entry."""
        return next(entry for entry in self.entries if entry.name == name)

    def step(self, name: str, state: str, message: str | None = None) -> Entry:
        """Write down what becomes of a step, and what is remembered; returns when it is on disk.

        :param message: None: leave the one that is there
        """
        from sqlalchemy import select

        from corpus.controller.registry import models

        entry, now = self.entry(name), models.now()
        entry.state = state
        if state == "running":
            entry.started, entry.finished = now, None
        elif state not in ("planned", "undoing"):
            entry.finished = now
        if message is not None:
            entry.message = message
        with self._registry.session() as session:
            row = session.scalars(select(models.Operation).where(models.Operation.uuid == self.uuid)).one()
            row.data = self._kept()
            written = next(one for one in row.steps if one.name == name)
            written.state, written.started = entry.state, entry.started
            written.finished, written.message = entry.finished, entry.message
            session.add(self._event("operation.step", {**entry.told(), "state": state}))
        return entry

    def said(self, line: str) -> None:
        """Keep a line for whoever follows."""
        with self._registry.session() as session:
            session.add(self._event("operation.says", {"line": line}))

    def _event(self, kind: str, data: Mapping[str, Any]) -> models.Event:
        from corpus.controller.registry import models

        return models.Event(kind=kind, operation=self.uuid, subject=self.subject, data=dict(data))

    def called(self, jid: str, minion_id: str, over: bool) -> None:
        """Note a call to a minion: on disk before it goes out, so that whoever comes next can wait for its end."""
        if over:
            self.calls.pop(jid, None)  # written with the next record
        else:
            self.calls[jid] = minion_id
            self._write()

    def _kept(self) -> dict[str, Any]:
        return {**self.data, **({_CALLS: dict(self.calls)} if self.calls else {})}

    def argue(self, arguments: Mapping[str, Any]) -> None:
        """Write down arguments that the controller knows better than who queued the operation."""
        from sqlalchemy import update

        from corpus.controller.registry import models

        if dict(arguments) != self.arguments:
            self.arguments = dict(arguments)
            with self._registry.session() as session:
                changed = update(models.Operation).where(models.Operation.uuid == self.uuid)
                session.execute(changed.values(arguments=dict(arguments)))

    def remember(self) -> None:
        """Write down what is remembered."""
        self._write()

    def become(self, state: str, message: str | None = None) -> None:
        """Write down what becomes of the operation.

        :param message: None: leave the one that is there
        """
        from corpus.controller.registry import models

        self.state = state
        if message is not None:
            self.message = message
        self.finished = None if state in UNFINISHED else models.now()
        self._write()

    def _write(self) -> None:
        from sqlalchemy import select

        from corpus.controller.registry import models

        with self._registry.session() as session:
            row = session.scalars(select(models.Operation).where(models.Operation.uuid == self.uuid)).one()
            if row.state != self.state:
                told = {"state": self.state, "message": self.message or "", "kind": self.kind, "who": self.who}
                session.add(self._event("operation.state" if self.state in UNFINISHED else "operation.end", told))
                row.started = row.started or models.now()
            row.state, row.message, row.finished = self.state, self.message, self.finished
            row.data = self._kept()
