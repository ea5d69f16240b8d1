"""How many processes a project runs, and their renewal by hand: scale and restart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from corpus.errors import UsageError
from corpus.project import changeover, recovery
from corpus.project.keeping import history, lock
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import formation
from corpus.project.session import Request, Session, orderly_end


def scale(minion: Minion, name: str, counts: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """Run that many processes of some types, from now on and in every later release.

    :param counts: ``{type: n}``; types that are not named stay as they are
    :returns: the report
    :raises UsageError: no type is named, or nothing runs that could be scaled
    :raises ConfigurationError: an unknown type, or what is no count; nothing was changed
    """
    layout = Layout.existing(minion.roots, name)
    if not counts:
        raise UsageError("Say how many of which type: mc_project.scale " + name + " web=3 worker=1.")

    def wish(now: dict[str, Any]) -> dict[str, Any]:
        formation.check_scale(counts, now["commands"])
        wanted = copy.deepcopy(now)
        for kind, count in counts.items():
            present = formation.of_type(wanted, kind)
            for surplus in present[count:]:
                del wanted["processes"][surplus]
            formation.add(wanted, kind, count - len(present))
        return wanted

    return _locked(minion, layout, "scale", request, wish, {"scale": dict(counts)})


def restart(minion: Minion, name: str, kind: str | None, request: Request) -> dict[str, Any]:
    """Replace the processes of a type, or all, by new ones.

    :returns: the report
    :raises UsageError: nothing runs, or there is no such type
    """
    layout = Layout.existing(minion.roots, name)

    def wish(now: dict[str, Any]) -> dict[str, Any]:
        if kind is not None and kind not in now["commands"]:
            known = ", ".join(sorted(now["commands"]))
            raise UsageError(f"{name!r} has no process type {str(kind)[:80]!r} (there: {known}).")
        wanted = copy.deepcopy(now)
        for one in [kind] if kind is not None else sorted(now["commands"]):
            present = formation.of_type(wanted, one)
            for old in present:
                del wanted["processes"][old]
            formation.add(wanted, one, len(present), taken=now["processes"])
        return wanted

    return _locked(minion, layout, "restart", request, wish, {})


def _locked(
    minion: Minion,
    layout: Layout,
    what: str,
    request: Request,
    wish: Callable[[dict[str, Any]], dict[str, Any]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    with lock.held(layout, what, request.who, request.wait):
        recovery.repair(minion, layout, request.who)
        lock.check_open(layout)
        release = layout.running()
        now = formation.specified(layout, release) if release else {"processes": {}}
        if release is None or not now.get("commands"):
            raise UsageError(f"No process of {layout.name!r} is deployed: there is nothing to {what}.")
        wanted = wish(now)
        with orderly_end(), Session(minion, layout, what, request.who) as session:
            session.report.release = release
            session.configure(layout.project, layout.pillar, {})
            session.console.headline(f"{layout.name}: {what} by {session.report.who}")
            try:
                with session.stage(what) as stage:
                    stage.comment = changeover.change(session, release, wanted, what, settings)
                session.report.comment = f"{what} done in {session.seconds:.1f} s: {stage.comment}."
            except (Exception, KeyboardInterrupt) as err:
                session.report.result, session.report.comment = False, session.explain(err)
            session.report.seconds = session.seconds
            history.store(layout, session.report.record(session.console.redactor))
            session.console.ending(session.report.comment)
            return session.report.told(session.console.redactor)
