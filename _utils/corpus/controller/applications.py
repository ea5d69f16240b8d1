"""What is done to a project on its guests from here: operations with a step for each guest, one after the other.

Each step is a transaction of its own there; the first that fails ends it, and what is left is done when it is asked for
again. Guests' own functions: :py:mod:`mc_project` of the minion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus import dotenv, envelopes, identifiers
from corpus.controller import operations, preseed, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

#: Seconds that a guest may take for a deployment, and that it waits there for another one.
DEPLOYING, WAITING = 3600, 60
#: Most processes of one type.
MOST = 100
_TYPE = re.compile(r"[A-Za-z0-9_-]{1,40}")
#: Arguments of ``mc_project.scale`` that are no types of processes.
_NO_TYPES = ("name", "api_version", "wait", "who", "function", "minion_id", "timeout")


Call = Callable[[Run, Callable[..., Any], str], Any]


def subjects(arguments: Mapping[str, Any]) -> list[str]:
    """A project, and the guests that are named with it."""
    guests = [*(arguments.get("guests") or ()), *([arguments["guest"]] if arguments.get("guest") else [])]
    return [f"project:{arguments.get('name', '')}", *(f"guest:{guest}" for guest in guests)]


NAMED = wiring.called(guest=wiring.guest, guests=wiring.guest)


def minion_of(cloud: Cloud, name: str, at: str) -> str:
    """Return the minion of a guest on which a project is placed.

    :raises UsageError: it is not placed there
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Guest, Placement, Project

    wanted = (
        select(Guest.minion_id)
        .join(Placement, Placement.guest_id == Guest.id)
        .join(Project, Project.id == Placement.project_id)
        .where(Guest.name == at, Project.name == name)
    )
    with cloud.registry.reading() as session:
        found = session.scalar(wanted)
    if found is None:
        raise UsageError(f"{name} is not placed on {shown(at)}: mc_project.place puts it there.")
    return found


def _each(arguments: Mapping[str, Any], words: str, call: Call, deploys: bool = True) -> list[Step]:
    """A step on each guest.

    :param words: what is done, before ``on <guest>``
    :param call: does it, by a function that calls one of the minion's, and that minion
    :param deploys: it is in the guest's history afterwards
    """
    identifiers.project_name(arguments.get("name"))
    guests = arguments.get("guests") or ()
    if not guests:
        raise UsageError(f"{arguments.get('name')} is on no guest: mc_project.place puts it on one.")
    return [_on(str(at), words, call, deploys) for at in guests]


def _on(at: str, words: str, call: Call, deploys: bool) -> Step:
    def do(run: Run) -> str:
        from corpus.controller import projects

        name = run.arguments["name"]
        minion = minion_of(run.cloud, name, at)

        def there(function: str, *given: Any, timeout: float = DEPLOYING, **more: Any) -> Any:
            return run.cloud.minions.call(minion, f"mc_project.{function}", name, *given, timeout=timeout, **more)

        try:
            report = call(run, there, minion)
        finally:
            if deploys:
                projects.collect(run.cloud, name, minion, limit=3)
        if report.get("deployment"):
            run.remember(deployments={**run.data.get("deployments", {}), at: report["deployment"]})
        return ": ".join(str(part) for part in (report.get("deployment"), report.get("comment")) if part)

    def check(run: Run) -> bool:
        minion_of(run.cloud, run.arguments["name"], at)
        return False

    return Step(f"{words} on {at}", check, do)


@operations.kind("project.push", subject=subjects, forward=True, resolve=NAMED)
def pushing(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """A deployment on each guest: name, guests, revision."""

    def deploy(run: Run, there: Callable[..., Any], _: str) -> Any:
        settings = {"revision": run.arguments["revision"]} if run.arguments.get("revision") else {}
        return there("deploy_project", wait=WAITING, who=run.who, **settings)

    return _each(arguments, "deploy", deploy)


@operations.kind("project.rollback", subject=subjects, forward=True, resolve=NAMED)
def rolling_back(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Back to a release that is kept: name, guests, release (None: the one that ran before)."""
    if arguments.get("release") is not None:
        identifiers.release_id(arguments["release"])

    def back(run: Run, there: Callable[..., Any], _: str) -> Any:
        return there("rollback", release=run.arguments.get("release"), wait=WAITING, who=run.who)

    return _each(arguments, "roll back", back)


@operations.kind("project.maintenance", subject=subjects, forward=True, resolve=NAMED)
def maintaining(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """A project closed with its maintenance page, or opened again: name, guests, on, reason."""
    on = arguments.get("on")
    if not isinstance(on, bool):
        raise UsageError(f"on is true or false, not {shown(on)}.")

    def change(run: Run, there: Callable[..., Any], _: str) -> Any:
        return there(
            "maintenance", on=run.arguments["on"], reason=run.arguments.get("reason") or "", who=run.who, timeout=60
        )

    return _each(arguments, "close it for maintenance" if on else "open it", change, deploys=False)


@operations.kind("project.scale", subject=subjects, forward=True, resolve=NAMED)
def scaling(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """So many processes: name, guests, counts (by type)."""
    counts = arguments.get("counts")
    if not isinstance(counts, Mapping) or not counts:
        raise UsageError("Say how many processes of which type: web=3 worker=1.")
    for kind, count in counts.items():
        if not _TYPE.fullmatch(str(kind)) or kind in _NO_TYPES:
            raise UsageError(f"{shown(kind)} is no type of processes that can be scaled from here.")
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST:
            raise UsageError(f"{kind}: {shown(count)} is no number of processes: use 0 to {MOST}.")

    def scale(run: Run, there: Callable[..., Any], _: str) -> Any:
        return there("scale", wait=WAITING, who=run.who, **run.arguments["counts"])

    return _each(arguments, "scale", scale)


@operations.kind("project.restart", subject=subjects, forward=True, resolve=NAMED)
def restarting(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """New processes of the same release: name, guests, type (None: all)."""
    kind = arguments.get("type")
    if kind is not None and not _TYPE.fullmatch(str(kind)):
        raise UsageError(f"{shown(kind)} is no type of processes.")

    def restart(run: Run, there: Callable[..., Any], _: str) -> Any:
        return there("restart", type=run.arguments.get("type"), wait=WAITING, who=run.who)

    return _each(arguments, "restart", restart)


# --- environment ------------------------------------------------------------------------------------------------------


@operations.kind("project.env_set", subject=subjects, forward=True, resolve=NAMED)
def setting(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Environment variables set: name, guests, variables (their names), sealed (names and values).

    The values are in a box that the master alone opens (:mod:`corpus.controller.sealing`); each guest gets them in an
    envelope of its own. When the operation is over, or failed, the box is thrown away.
    """
    _names(arguments)
    if not isinstance(arguments.get("sealed"), str):
        raise UsageError("The values must come sealed.")

    def change(run: Run, there: Callable[..., Any], minion: str) -> Any:
        box = run.arguments["sealed"]
        if not box:
            raise CorpusError("The values were thrown away when this failed before: set them again.")
        try:
            words = run.cloud.sealing.unseal(box, purpose(run.arguments["name"]))
            return there("env_set", sealed=_envelope(run, minion, words), wait=WAITING, who=run.who)
        except CorpusError:
            _throw_away(run)
            raise

    return [*_each(arguments, "set it", change), Step("throw the values away", None, _throw_away, repeatable=True)]


def purpose(name: str) -> str:
    """Return what values of a project's environment are sealed for."""
    return f"project.env_set:{name}"


def words(variables: Mapping[str, str]) -> str:
    """Return variables as they are sealed.

    :raises UsageError: a name or a value cannot be in an environment
    """
    if not variables:
        raise UsageError("There is nothing to set.")
    for variable in variables:
        dotenv.check_name(variable)
    dotenv.check(variables)
    told = json.dumps(dict(variables))
    if len(told.encode()) > envelopes.LIMIT:
        raise UsageError(f"All of them together may have {envelopes.LIMIT >> 10} KiB at once.")
    return told


def _envelope(run: Run, minion: str, content: str) -> str:
    public = preseed.accepted(wiring.master(run.cloud), minion)
    if public is None:
        raise CorpusError(f"{minion} is no minion of this master: it has no accepted key.")
    return envelopes.closed(content, dotenv.meant_for(run.arguments["name"]), public)


def _throw_away(run: Run) -> None:
    run.argue(sealed="")


@operations.kind("project.env_unset", subject=subjects, forward=True, resolve=NAMED)
def unsetting(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Environment variables taken back: name, guests, variables (their names)."""
    _names(arguments)

    def change(run: Run, there: Callable[..., Any], _: str) -> Any:
        return there("env_unset", *run.arguments["variables"], wait=WAITING, who=run.who)

    return _each(arguments, "unset it", change)


def _names(arguments: Mapping[str, Any]) -> None:
    names = arguments.get("variables")
    if not isinstance(names, list) or not names:
        raise UsageError("Name the variables.")
    for name in names:
        dotenv.check_name(name)
