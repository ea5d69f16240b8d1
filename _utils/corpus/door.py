"""What Salt's doors share: our errors become Salt's, a report becomes an exit status."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from corpus.errors import CorpusError


@contextmanager
def translated() -> Iterator[None]:
    """Raise Salt's ``CommandExecutionError`` for ours.

    Also where the caller is to blame: Salt answers a ``SaltInvocationError`` with the function's whole
    documentation, and who mistyped a name is better served by one sentence.
    """
    from salt.exceptions import CommandExecutionError

    with warnings.catch_warnings():
        # What Python thinks of the modules that Salt imports on the way is not for the caller.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            yield
        except CorpusError as err:
            raise CommandExecutionError(str(err)) from err


def answered(report: Mapping[str, Any], context: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return a report, and make the process' exit status tell when its result is False."""
    if report.get("result") is False:
        context["retcode"] = 1
    return dict(report)
