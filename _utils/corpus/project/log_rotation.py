"""Logs that an application writes itself: the key ``logrotate``, as a file for logrotate(8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import ConfigurationError
from corpus.identifiers import shown
from corpus.project.layout import Layout

_FOLDER = Path("/etc/logrotate.d")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]+(/[A-Za-z0-9_.*?-]+)*")
_RULE = """\
# Written by corpus for {name}.
{patterns} {{
    su {user} {group}
    weekly
    maxsize 50M
    rotate 8
    missingok
    notifempty
    compress
    delaycompress
    copytruncate
}}
"""


def patterns(cfg: Mapping[str, Any]) -> list[str]:
    """Return the absolute patterns of a project's logs.

    :raises ConfigurationError: one of them cannot be
    """
    found = []
    for pattern in cfg["logrotate"]:
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern) or ".." in pattern.split("/"):
            raise ConfigurationError(
                f"logrotate: {shown(pattern)} is no pattern of files below data/, such as log/*.log."
            )
        found.append(f"{cfg['data_root']}/{pattern}")
    return found


def path(layout: Layout) -> Path:
    """Return where a project's file for logrotate lies."""
    return _FOLDER / f"corpus-{layout.name}"


def register(layout: Layout, cfg: Mapping[str, Any], privileged: bool) -> str:
    """Bring a project's file for logrotate in line with its configuration; return what there is to say."""
    wanted = patterns(cfg)
    if not wanted:
        if privileged:
            forget(layout)
        return ""
    if not privileged or not _FOLDER.is_dir():
        why = "corpus does not run as root" if _FOLDER.is_dir() else "it is not installed (apt-get install logrotate)"
        return f"logrotate: the application's logs are not rotated here: {why}."
    rule = _RULE.format(
        name=layout.name,
        patterns=" ".join(f'"{pattern}"' for pattern in wanted),
        user=cfg["user"],
        group=cfg["group"],
    )
    files.write(path(layout), rule, 0o644)
    return ""


def forget(layout: Layout) -> None:
    """Remove a project's file for logrotate."""
    path(layout).unlink(missing_ok=True)
