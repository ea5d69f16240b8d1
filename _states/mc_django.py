"""
Django sites
============

What the installer ``django`` does in its stages, beside what :py:mod:`states.mc_python` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import state
from corpus.project.python.site import Site

if TYPE_CHECKING:
    __context__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_django"


def __virtual__():
    return __virtualname__


def collected(name: str) -> dict[str, Any]:
    """
    Make sure that the static files are collected, and show what ``check --deploy`` warns of.

    Nothing is collected when the settings have no ``STATIC_ROOT``. Warnings do not fail.

    name
        For the report.

    .. code-block:: yaml

        {{ cfg.name }}-static:
          mc_django.collected: []
    """

    def collect(cfg, say):
        return Site(cfg, say).collect(), {}

    return state(name, __opts__, __context__, collect)


def settled(name: str) -> dict[str, Any]:
    """
    Make sure that uploads are kept in ``data``, and that the web front serves static files and uploads.

    A ``MEDIA_ROOT`` inside of the tree becomes a link to ``data/media``. What the settings say becomes part of
    ``cfg.static_files``; an entry that is there stays.

    name
        For the report.

    .. code-block:: yaml

        {{ cfg.name }}-site:
          mc_django.settled: []
    """

    def settle(cfg, say):
        return Site(cfg, say).settle(), {}

    return state(name, __opts__, __context__, settle)


def migrated(name: str) -> dict[str, Any]:
    """
    Make sure that all migrations are applied: ``manage.py migrate``, and only when there are some to apply.

    name
        For the report.

    .. code-block:: yaml

        {{ cfg.name }}-migrate:
          mc_django.migrated: []
    """

    def migrate(cfg, say):
        applied = Site(cfg, say).migrate()
        return ("applied" if applied else "nothing to apply"), ({name: "applied"} if applied else {})

    return state(name, __opts__, __context__, migrate)
