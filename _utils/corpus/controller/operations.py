"""Operations: long actions as lists of steps that are journaled before they are taken, and undone when one fails.

.. code-block:: python

    @operations.kind("guest.create")
    def create(arguments):
        return [
            Step("register", is_registered, register, forget),
            Step("clone the image", is_cloned, clone, remove_clone),
            Step("tell by mail", do=mail, essential=False),
        ]

    report = operations.run(cloud, "guest.create", {"name": "shop", "platform": "…"}, who="ada")

Each function of a step takes the :class:`Run`:

* ``check`` changes nothing. It returns whether the step's result is there already (then the step is skipped, and not
  undone later), and raises :class:`~corpus.errors.CorpusError` when the step cannot be taken. It also makes the plan
  (``test=True``), where what earlier steps would find is missing: reading that from ``run.data`` raises ``NotYet``,
  which the plan takes for "would be done".
* ``do`` may return a sentence, or a mapping of changes, for the report.
* ``undo`` must be content with half of what ``do`` makes, and with nothing: it is called for the step that failed, too,
  and again where it was interrupted itself.

A process may die at any line (kill -9, power). Its locks die with it; :func:`resume`, or the next operation on the same
subject, finds what it left and finishes it (``forward`` kinds, or when all steps that are left are ``repeatable``) or
undoes it. A subject is worked on by one operation at a time, whatever it was called by who asked: a kind's ``resolve``
turns what was typed into the registry's own names, and those are what is locked and kept.

Who interrupts an operation (Ctrl-C, SIGTERM) lets it undo what it did; but one that is interrupted in a step that is not
essential stays as it is, and is finished by :func:`resume`.

Neither arguments nor ``run.data`` may hold secrets: they are kept and shown. Keep no session of the registry open
around ``remember`` or the end of a step.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from corpus import locks
from corpus.controller.journal import UNFINISHED, Journal, Memory
from corpus.controller.minions import watch
from corpus.errors import CorpusError, Locked, NotYet, UsageError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

log = logging.getLogger(__name__)

#: Rooms that make kinds known; of a package, all of its rooms do.
_ROOMS = ("owners", "projects", "applications", "compute_nodes", "guests", "moves", "names", "machines", "adjustments")


@dataclass(frozen=True)
class Run:
    """An operation as its steps see it.

    :param cloud: what there is to work with
    :param kind: of the operation
    :param arguments: that were given, as JSON keeps them
    :param who: asked for it
    :param data: what steps remember for each other: kept when a step is over, and by :meth:`remember`
    :param operation: its uuid; empty in a plan
    """

    cloud: Cloud
    kind: str
    arguments: Mapping[str, Any]
    who: str
    data: Memory
    operation: str = ""
    _journal: Journal | None = field(default=None, repr=False)
    _notes: list[str] = field(default_factory=list, repr=False)

    @property
    def test(self) -> bool:
        """Whether this is a plan: nothing may be changed."""
        return self._journal is None

    def say(self, line: str) -> None:
        """Show a line to whoever waits, and to who listens on the bus."""
        self.cloud.say(line)
        if self._journal is not None:
            self._journal.said(line)
        self.cloud.tell(f"corpus/operation/{self.operation}/says", {"operation": self.operation, "line": line})

    def note(self, line: str) -> None:
        """Add a line to the notes of the report: what whoever asked should know, and is no failure."""
        if line not in self._notes:
            self._notes.append(line)
            self.say(line)

    def remember(self, **facts: Any) -> None:
        """Keep facts for later steps, for undoing and for a resumption; returns when they are on disk."""
        self.data.update(facts)
        if self._journal is not None:
            self._journal.remember()

    def argue(self, **arguments: Any) -> None:
        """Keep other values of arguments from now on, for whoever looks or resumes; this run goes on with those it has."""
        if self._journal is not None:
            self._journal.argue({**self._journal.arguments, **arguments})


@dataclass(frozen=True)
class Step:
    """One step.

    :param name: in words, as a plan and a report show it; unique among the steps of an operation
    :param check: whether it is done already; None: it is always taken
    :param do: takes it; None: the step only checks
    :param undo: undoes it, wholly or half taken; None: there is nothing to undo
    :param repeatable: a run that died in it or before it can go on with it
    :param essential: when it fails, the operation fails; otherwise that is told, and no more; it must be repeatable then
    """

    name: str
    check: Callable[[Run], Any] | None = None
    do: Callable[[Run], Any] | None = None
    undo: Callable[[Run], Any] | None = None
    repeatable: bool = False
    essential: bool = True


Builder = Callable[[Mapping[str, Any]], Sequence[Step]]
Resolve = Callable[["Cloud", Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of operation.

    :param name: ``<noun>.<verb>``
    :param build: returns the steps for arguments, the same ones each time; checks the arguments' form
    :param subjects: what an operation works on; two that share one do not run at the same time
    :param forward: what was begun is finished, never undone
    :param resolve: returns those arguments that the registry knows by another name than was typed
    """

    name: str
    build: Builder
    subjects: Callable[[Mapping[str, Any]], Sequence[str]]
    forward: bool = False
    resolve: Resolve | None = None

    def resolved(self, cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with the registry's own names in them.

        :raises UsageError: the registry has nothing of such a name
        """
        return {**arguments, **(self.resolve(cloud, arguments) if self.resolve else {})}

    def steps(self, arguments: Mapping[str, Any]) -> list[Step]:
        """Return the steps, their names checked."""
        steps = list(self.build(arguments))
        names = [step.name for step in steps]
        if len(set(names)) != len(names):
            raise TypeError(f"{self.name}: two steps have the same name.")
        if any(not step.essential and not step.repeatable for step in steps):
            raise TypeError(f"{self.name}: a step that is not essential must be repeatable.")
        return steps


_KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    subject: Callable[[Mapping[str, Any]], str | Sequence[str]] | None = None,
    forward: bool = False,
    resolve: Resolve | None = None,
) -> Callable[[Builder], Builder]:
    """Register a function that returns the steps of a kind of operation for its arguments.

    :param subject: returns what an operation works on, one or several (``"guest:shop"``); by default the kind's noun and
        the argument ``name``
    :param forward: what was begun is finished, never undone (deletions)
    :param resolve: returns those arguments that the registry knows by another name than was typed; see
        :func:`corpus.controller.wiring.called`
    """

    def subjects(arguments: Mapping[str, Any]) -> Sequence[str]:
        found = subject(arguments) if subject else f"{name.split('.')[0]}:{arguments.get('name', '')}"
        return (found,) if isinstance(found, str) else tuple(found)

    def register(build: Builder) -> Builder:
        _KINDS[name] = Kind(name, build, subjects, forward, resolve)
        return build

    return register


def find(name: str) -> Kind:
    """Return a kind by its name.

    :raises UsageError: there is none
    """
    if name not in _KINDS:
        kinds()
    try:
        return _KINDS[name]
    except KeyError:
        raise UsageError(f"{name!r} is no kind of operation: there are {', '.join(sorted(_KINDS))}.") from None


def kinds() -> list[str]:
    """The names of all kinds."""
    for room in _ROOMS:
        if importlib.util.find_spec(f"corpus.controller.{room}"):
            found = importlib.import_module(f"corpus.controller.{room}")
            for one in pkgutil.iter_modules(getattr(found, "__path__", ())):
                importlib.import_module(f"{found.__name__}.{one.name}")
    return sorted(_KINDS)


def run(cloud: Cloud, kind: str, arguments: Mapping[str, Any], who: str, test: bool = False) -> dict[str, Any]:
    """Do it, or leave everything as it was; return the report.

    What a process that died left on the same subject is settled first.

    :param kind: name of a kind of operation
    :param arguments: JSON, no secrets
    :param who: asks for it
    :param test: tell what would be done, and change nothing
    :raises UsageError: the arguments cannot be
    :raises Locked: somebody works on the same subject
    :returns: ``{name, result, changes, comment, operation, kind, who, steps, notes, facts, seconds, retcode}``; facts are
        what the steps remembered
    """
    known = find(kind)
    given = json.loads(json.dumps(dict(arguments)))
    arguments = known.resolved(cloud, given)
    steps = known.steps(arguments)
    subjects = known.subjects(arguments)
    if test:
        return _plan(Run(cloud, kind, arguments, who, Memory()), subjects[0], steps)
    with _held(cloud, known.name, subjects, who):
        if known.resolved(cloud, given) != arguments:
            raise Locked(f"{subjects[0]} was changed in this moment: ask again.")
        before = _settle_left(cloud, subjects, who)
        journal = Journal.begin(
            cloud.registry, known.name, subjects[0], arguments, who[:100], [step.name for step in steps]
        )
        work = _Work(cloud, known, journal, steps)
        work.notes += [f"Before: {report['kind']} of {report['name']}: {report['comment']}" for report in before]
        return work.forward()


def queue(cloud: Cloud, kind: str, arguments: Mapping[str, Any], who: str) -> str:
    """Write down an operation for :func:`perform`; return its uuid.

    :param arguments: JSON, no secrets
    :param who: asks for it
    :raises UsageError: the arguments cannot be
    :raises Locked: something is under way or waits on the same subject
    """
    known = find(kind)
    arguments = known.resolved(cloud, json.loads(json.dumps(dict(arguments))))
    steps = known.steps(arguments)
    subjects = known.subjects(arguments)
    for other in Journal.unfinished(cloud.registry):
        if set(subjects) & set(find(other.kind).subjects(other.arguments)):
            raise Locked(
                f"{subjects[0]} is being worked on: {other.who} asked for {other.kind} at "
                f"{other.created:%Y-%m-%dT%H:%M:%SZ} (operation {other.uuid}). Ask again when that is over."
            )
    names = [step.name for step in steps]
    return Journal.begin(cloud.registry, kind, subjects[0], arguments, who[:100], names, state="planned").uuid


def perform(cloud: Cloud, operation: str) -> dict[str, Any]:
    """Do what was queued; return the report.

    :param operation: its uuid
    :raises UsageError: it was begun before
    :raises Locked: somebody works on the same subject; the operation failed by that
    """
    journal = Journal.load(cloud.registry, operation)
    known = find(journal.kind)
    subjects = known.subjects(journal.arguments)
    try:
        with _held(cloud, known.name, subjects, journal.who, operation):
            journal = Journal.load(cloud.registry, operation)
            if journal.state != "planned":
                raise UsageError(f"The operation {operation} was begun before: it is {journal.state}.")
            arguments = known.resolved(cloud, journal.arguments)
            if known.subjects(arguments) != subjects:
                raise Locked(f"{subjects[0]} was changed in this moment: ask again.")
            journal.argue(arguments)
            before = _settle_left(cloud, subjects, journal.who)
            work = _Work(cloud, known, journal, known.steps(journal.arguments))
            work.notes += [f"Before: {report['kind']} of {report['name']}: {report['comment']}" for report in before]
            return work.forward()
    except (Locked, UsageError) as err:
        if not any(holder.get("operation") == operation for holder in _holders(cloud, subjects)):
            refuse(cloud, operation, str(err))
        raise


def refuse(cloud: Cloud, operation: str, reason: str) -> None:
    """Let an operation that was queued fail, before it does anything.

    :param reason: in words for who asked
    """
    journal = Journal.load(cloud.registry, operation)
    if journal.state == "planned":
        journal.become("failed", reason)


def asked(
    scope: Mapping[str, Any], kind: str, test: bool, caller: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """Do what a runner is asked for, as who asks it; return the report, for Salt.

    :param scope: the runner's ``globals()``
    :param caller: whom a service of ours says that it asks for
    :param arguments: those that are None were not given
    """
    from corpus.controller import cloud
    from corpus.door import answered, translated

    given = {key: value for key, value in arguments.items() if value is not None}
    with translated():
        report = run(cloud.of(scope), kind, given, cloud.who(scope, caller), test=bool(test))
    return answered(report, scope["__context__"])


def resume(cloud: Cloud, operation: str | None = None) -> list[dict[str, Any]]:
    """Finish or undo what processes that died left; return a report for each.

    :param operation: uuid of one to settle, also one that failed: what is left of it is done, or undone, again
    :raises Locked: that one is under way
    """
    journals = Journal.unfinished(cloud.registry) if operation is None else [Journal.load(cloud.registry, operation)]
    reports = []
    for journal in journals:
        if journal.state == "planned" and not journal.waits_too_long():
            continue
        try:
            if journal.state == "planned":
                reports.append(perform(cloud, journal.uuid))
                continue
            subjects = find(journal.kind).subjects(journal.arguments)
            with _held(cloud, "mc_controller.resume", subjects, journal.who):
                now = Journal.load(cloud.registry, journal.uuid)
                if operation is not None and now.state == "failed" and now.is_outdated():
                    raise UsageError(
                        f"{now.kind} {now.uuid} failed, but {subjects[0]} was worked on since: to undo it now could hurt "
                        "what was made later. See mc_registry.check for what it left."
                    )
                if now.state in UNFINISHED or (operation is not None and now.state == "failed"):
                    reports.append(_settle(cloud, now))
        except UsageError:
            if operation is not None:
                raise
        except Locked:  # it is under way, or will be settled by who works on the same subject
            if operation is not None:
                raise
        except CorpusError as err:  # of a kind that this version does not know
            reports.append(_report(journal, False, str(err), {}, []))
    return reports


def listed(cloud: Cloud, limit: int = 50, unfinished: bool = False) -> list[dict[str, Any]]:
    """Return the last operations, newest first.

    :param limit: at most so many
    :param unfinished: only those that are under way or whose process died
    """
    from sqlalchemy import select

    from corpus.controller.registry import models

    wanted = select(models.Operation).order_by(models.Operation.id.desc()).limit(limit)
    if unfinished:
        wanted = wanted.where(models.Operation.state.in_(UNFINISHED))
    with cloud.registry.reading() as session:
        return [
            {
                "operation": row.uuid,
                "kind": row.kind,
                "subject": row.subject,
                "state": row.state,
                "alive": row.state in UNFINISHED and _alive(cloud, row.kind, row.arguments),
                "who": row.who,
                "created": row.created.isoformat(),
                "finished": row.finished.isoformat() if row.finished else None,
                "comment": row.message or "",
            }
            for row in session.scalars(wanted)
        ]


def looked_up(cloud: Cloud, operation: str) -> dict[str, Any]:
    """Return everything that is known of an operation.

    :raises UsageError: there is none of that uuid
    """
    journal = Journal.load(cloud.registry, operation)
    return {**_report(journal, journal.state == "done", journal.message or "", {}, []), "state": journal.state}


class _Work:
    """An operation under way."""

    def __init__(self, cloud: Cloud, kind: Kind, journal: Journal, steps: Sequence[Step]) -> None:
        self._cloud, self._kind, self._journal, self._steps = cloud, kind, journal, steps
        self.changes: dict[str, Any] = {}
        self.notes: list[str] = []
        self._run = Run(
            cloud, kind.name, journal.arguments, journal.who, journal.data, journal.uuid, journal, self.notes
        )

    def forward(self) -> dict[str, Any]:
        """Take the steps that were not taken; undo them all when one fails."""
        if self._journal.state != "running":
            self._journal.become("running")
        self._await_calls()
        with self._watched():
            return self._forward()

    def _forward(self) -> dict[str, Any]:
        for step in self._steps:
            if self._journal.entry(step.name).settled:
                continue
            try:
                self._take(step)
            except BaseException as err:
                message = _words(err)
                self._record(step, "failed", message)
                if not isinstance(err, Exception):  # we are told to end: in order
                    if step.essential:
                        self._failed(step, message)
                    raise
                if not isinstance(err, CorpusError):
                    log.exception("%s: %s", self._kind.name, step.name)
                if step.essential:
                    return self._failed(step, message)
                self.notes.append(f"{step.name} failed: {message}")
        did = any(entry.state == "done" for entry in self._journal.entries)
        comment = "Done." if did else "Everything was so already."
        self._journal.become("done", comment)
        return self._ended(True, comment)

    def _take(self, step: Step) -> None:
        entry = self._journal.entry(step.name)
        if step.check is not None and step.check(self._run):
            self._record(step, "done" if entry.taken else "skipped")
            return
        if step.do is None:
            self._record(step, "skipped")
            return
        self._record(step, "running")
        answer = step.do(self._run)
        self.changes[step.name] = "done" if answer is None else answer
        self._record(step, "done", answer if isinstance(answer, str) else None)

    def _failed(self, step: Step, message: str) -> dict[str, Any]:
        words = f"{step.name}: {message}"
        if self._kind.forward:
            comment = f"{words} What is left is done when it is asked for again."
            self._journal.become("failed", comment)
            return self._ended(False, comment)
        return self.back(words)

    def back(self, message: str) -> dict[str, Any]:
        """Undo the steps that were taken, the last one first.

        :param message: why; kept
        """
        if self._journal.state != "undoing":
            self._journal.become("undoing", message)
        self._await_calls()
        with self._watched():
            return self._back(message)

    def _back(self, message: str) -> dict[str, Any]:
        left = ""
        for step in reversed(self._steps):
            entry = self._journal.entry(step.name)
            if step.undo is None or not entry.taken:
                continue
            try:
                self._record(step, "undoing")
                step.undo(self._run)
            except Exception as err:
                if not isinstance(err, CorpusError):
                    log.exception("%s: undoing %s", self._kind.name, step.name)
                left = f"{step.name} could not be undone: {_words(err)}"
                self._record(step, "failed", left if not entry.message else f"{entry.message} {left}")
                break  # what was made before may be in use by what is still there: an address, a name
            self._record(step, "undone")
        self.changes.clear()
        if left:
            comment = f"{message} {left} Try again: mc_controller.resume {self._journal.uuid}"
            self._journal.become("failed", comment)
        else:
            comment = f"{message} Everything is as it was before."
            self._journal.become("undone", comment)
        return self._ended(False, comment)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Write down what is called on minions while the block runs."""
        token = watch.set(self._journal.called)
        try:
            yield
        finally:
            watch.reset(token)

    def _await_calls(self) -> None:
        """Wait for what minions still work on for us, although nobody listened: it would undo what is done now."""
        for jid, minion_id in list(self._journal.calls.items()):
            try:
                if not self._cloud.minions.is_over(minion_id, jid):
                    self.notes.append(f"{minion_id} still works on the job {jid}.")
            except CorpusError as err:
                self.notes.append(f"Whether {minion_id} still works on the job {jid} is not known: {err}")
            self._journal.calls.pop(jid)

    def _record(self, step: Step, state: str, message: str | None = None) -> None:
        entry = self._journal.step(step.name, state, message)
        self._cloud.tell(
            f"corpus/operation/{self._journal.uuid}/{_tag(step.name)}",
            {"operation": self._journal.uuid, "kind": self._kind.name, "who": self._journal.who, **entry.told()},
        )
        if state in ("running", "undoing", "failed"):
            words = {"running": "", "undoing": "undo: ", "failed": "FAILED: "}[state]
            self._cloud.say(f"{words}{step.name}{': ' + message if state == 'failed' and message else ''}")

    def _ended(self, result: bool, comment: str) -> dict[str, Any]:
        report = _report(self._journal, result, comment, self.changes, self.notes)
        told = {key: report[key] for key in ("operation", "kind", "name", "who", "result", "comment", "seconds")}
        self._cloud.tell(f"corpus/operation/{self._journal.uuid}/end", told)
        return report


def _settle(cloud: Cloud, journal: Journal) -> dict[str, Any]:
    """Finish or undo what a process that died left; its subject is held."""
    known = find(journal.kind)
    steps = known.steps(journal.arguments)
    if [step.name for step in steps] != [entry.name for entry in journal.entries]:
        comment = "It was begun by another version of corpus, whose steps are not known any more: look at it by hand."
        journal.become("failed", comment)
        return _report(journal, False, comment, {}, [])
    work = _Work(cloud, known, journal, steps)
    rest = [step for step in steps if not journal.entry(step.name).settled]
    undoing = journal.state == "undoing" or any(entry.state in ("undoing", "undone") for entry in journal.entries)
    if known.forward or (not undoing and journal.state != "failed" and all(step.repeatable for step in rest)):
        return work.forward()
    if undoing or journal.state == "failed":
        return work.back(_reason(journal))
    step = next((entry.name for entry in journal.entries if entry.state == "running"), None)
    return work.back(f"Its process died {'at ' + step if step else 'between two steps'}.")


def _reason(journal: Journal) -> str:
    """Return why an operation was undone in the first place, without what was said about the undoing."""
    first = next((entry for entry in journal.entries if entry.state == "failed" and entry.message), None)
    words = journal.message or (f"{first.name}: {first.message}" if first else "It failed.")
    return re.split(r" [^.]* could not be undone: ", words)[0] if journal.state == "failed" else words


def _settle_left(cloud: Cloud, ours: Sequence[str], who: str) -> list[dict[str, Any]]:
    """Settle what processes that died left on subjects that we hold; return the reports."""
    reports = []
    for journal in Journal.unfinished(cloud.registry):
        if journal.state == "planned":  # nobody began it
            continue
        try:
            theirs = find(journal.kind).subjects(journal.arguments)
        except CorpusError:  # of a kind that this version does not know
            continue
        if set(theirs) & set(ours):  # whoever works on that held one of ours, so it is nobody
            with _held(cloud, "mc_controller.resume", sorted(set(theirs) - set(ours)), who):
                reports.append(_settle(cloud, journal))
    return reports


def _alive(cloud: Cloud, kind: str, arguments: Mapping[str, Any]) -> bool:
    """Tell whether somebody holds a subject of an operation."""
    try:
        subjects = find(kind).subjects(arguments)
    except CorpusError:
        return False
    return any(True for _ in _holders(cloud, subjects))


def _holders(cloud: Cloud, subjects: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield what is known of those who hold subjects."""
    for subject in subjects:
        holder = locks.holder(_lock(cloud, subject))
        if holder is not None:
            yield holder


@contextmanager
def _held(cloud: Cloud, kind: str, subjects: Sequence[str], who: str, operation: str = "") -> Iterator[None]:
    """Hold the locks of subjects while the block runs.

    :param operation: its uuid, where another one could be about to begin the same
    """
    from corpus.controller.registry import models

    cloud.settings.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    note = {"what": kind, "who": who, "since": f"{models.now():%Y-%m-%dT%H:%M:%SZ}", "operation": operation}
    with ExitStack() as stack:
        for subject in sorted(set(subjects)):

            def refusal(other: Mapping[str, Any], subject: str = subject) -> str:
                return (
                    f"{subject} is being worked on: {other.get('who', 'somebody')} asked for "
                    f"{other.get('what', 'something')} at {other.get('since', 'this moment')} "
                    f"(process {other.get('pid', 'unknown')}). Ask again when that is over."
                )

            stack.enter_context(locks.held(_lock(cloud, subject), note, refusal))
        yield


def _lock(cloud: Cloud, subject: str) -> Any:
    digest = hashlib.sha256(subject.encode()).hexdigest()[:12]
    return cloud.settings.locks / f"{re.sub(r'[^A-Za-z0-9._-]', '-', subject)[:100]}.{digest}"


def _plan(run: Run, subject: str, steps: Sequence[Step]) -> dict[str, Any]:
    """Return what would be done; nothing is changed."""
    rows: list[dict[str, Any]] = []
    refused: list[str] = []
    for step in steps:
        state, message = "would", ""
        try:
            if (step.check is not None and step.check(run)) or step.do is None:
                state = "skipped"
        except NotYet:
            pass
        except CorpusError as err:
            state, message = "failed", str(err)
            if step.essential:
                refused.append(f"{step.name}: {err}")
        rows.append({"name": step.name, "state": state, "seconds": 0.0, "message": message})
    would = [row["name"] for row in rows if row["state"] == "would"]
    comment = f"Would {'; '.join(would)}." if would else "Everything is so already."
    return {
        "name": subject,
        "result": not refused,
        "retcode": 1 if refused else 0,
        "changes": {} if refused else dict.fromkeys(would, "would be done"),
        "comment": f"It would fail. {' '.join(refused)}" if refused else comment,
        "operation": None,
        "kind": run.kind,
        "who": run.who,
        "steps": rows,
        "notes": list(run._notes),
        "facts": {},
        "seconds": 0.0,
    }


def _report(
    journal: Journal, result: bool, comment: str, changes: Mapping[str, Any], notes: Sequence[str]
) -> dict[str, Any]:
    seconds = (journal.finished - journal.created).total_seconds() if journal.finished else 0.0
    return {
        "name": _subject(journal),
        "result": result,
        "changes": dict(changes),
        "comment": comment,
        "operation": journal.uuid,
        "kind": journal.kind,
        "who": journal.who,
        "steps": [entry.told() for entry in journal.entries],
        "notes": list(notes),
        "facts": dict(journal.data),
        "retcode": 0 if result else 1,
        "seconds": round(seconds, 3),
    }


def _subject(journal: Journal) -> str:
    try:
        return str(find(journal.kind).subjects(journal.arguments)[0])
    except CorpusError:
        return journal.kind


def _words(err: BaseException) -> str:
    if isinstance(err, CorpusError):
        return str(err)
    if isinstance(err, (KeyboardInterrupt, SystemExit)):
        return "It was interrupted."
    return f"{type(err).__name__}: {err}"


def _tag(name: str) -> str:
    """Return a step's name as a part of an event's tag."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
