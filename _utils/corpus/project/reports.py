"""Reports and statistics as their people ask for them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from corpus import files, statistics
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown
from corpus.project.keeping import history
from corpus.project.layout import Layout, Roots
from corpus.project.telling import figures as tables
from corpus.project.telling import page, text

FORMATS = ("text", "json", "html")
_DAYS = 36_500


def report(layout: Layout, deployment: str | None, form: str, to: str | None) -> Any:
    """Return the report of a deployment.

    :param deployment: its id; None: the last one
    :param form: of :data:`FORMATS`; ``json`` is the account itself, a mapping
    :param to: absolute path of a file to write instead (0600, replaced when it is there)
    :returns: the report, or a sentence that says where it was written
    :raises UsageError: there was no such deployment, or no such format
    :raises CorpusError: the file cannot be written
    """
    if form not in FORMATS:
        raise UsageError(f"A report's format is {', '.join(FORMATS)}, not {shown(form)}.")
    account = history.account(layout, deployment)
    if to is None:
        return account if form == "json" else _text(account, form)
    target = Path(str(to))
    if not target.is_absolute() or target.is_dir():
        raise UsageError(f"to must be the absolute path of a file, not {shown(to)}.")
    try:
        if form == "json":
            files.write_json(target, account)
        else:
            files.write(target, _text(account, form), 0o600)
    except OSError as err:
        raise CorpusError(f"{target} cannot be written: {err.strerror}.") from err
    return f"The report of {account['deployment']} is in {target}."


def _text(account: dict[str, Any], form: str) -> str:
    return page.page(account) if form == "html" else text.text(account)


def figures(roots: Roots, name: str | None, days: float) -> dict[str, Any]:
    """Return ``{schema, projects: {name: figures}}``.

    :param name: of a project; None: all of them
    :param days: that are looked back
    :raises UsageError: there is no such project, or no such time
    """
    if isinstance(days, bool) or not isinstance(days, (int, float)) or not 0 < days <= _DAYS or math.isnan(days):
        raise UsageError(f"days is a number between 0 and {_DAYS}, not {shown(days)}.")
    layouts = [Layout(roots, each) for each in roots.names()] if name is None else [Layout.existing(roots, name)]
    return {
        "schema": tables.SCHEMA,
        "projects": {layout.name: statistics.figures(history.lines(layout), days) for layout in layouts},
    }
