"""What Salt's doors share: our errors become Salt's, a report becomes an exit status."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from corpus.errors import CorpusError


@contextmanager
def translated() -> Iterator[None]:
    """Raise Salt's ``CommandExecutionError`` for ours.

    Also where the caller is to blame: Salt answers a ``SaltInvocationError`` with the function's whole
    documentation, and who mistyped a name is better served by one sentence. For the same reason it is Salt's
    ``NotImplemented``, too: of what a runner raises, that alone is answered without a traceback.
    """
    from salt import exceptions

    refused = type("Refused", (exceptions.CommandExecutionError, exceptions.NotImplemented), {})

    with warnings.catch_warnings():
        # What Python thinks of the modules that Salt imports on the way is not for the caller.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            yield
        except CorpusError as err:
            raise refused(str(err)) from err


def answered(report: Mapping[str, Any], context: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return a report, and make the process' exit status tell when its result is False.

    ``salt-run`` looks for that in the report itself: those of runners have a ``retcode``.
    """
    if report.get("result") is False:
        context["retcode"] = 1
    return dict(report)


def state(
    name: str,
    opts: Mapping[str, Any],
    context: Mapping[str, Any],
    work: Callable[[MutableMapping[str, Any], Callable[[str], None]], tuple[str, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Run what a state of a project's sls does, and return what Salt expects of a state.

    :param context: of Salt's loader: it has the live ``cfg``, of which ``opts`` hold a copy
    :param work: gets the live ``cfg`` and a function that shows a line to whoever pushed; returns its comment and changes
    """
    if opts["test"]:
        return _state(name, None, "It would run; what it would change is not known.", {})
    cfg = context.get("mc_project.cfg")
    if cfg is None:
        return _state(name, False, "This state is for the sls of a project: there is no cfg here.", {})
    try:
        comment, changes = work(cfg, lambda line: print(line, flush=True))  # noqa: T201 - to the worker's pipe
    except CorpusError as err:
        return _state(name, False, str(err), {})
    return _state(name, True, comment, changes)


def _state(name: str, result: bool | None, comment: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "result": result, "comment": comment, "changes": dict(changes)}
