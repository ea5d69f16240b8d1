"""
Django sites
============

What the installer ``django`` does in its stages, beside what :py:mod:`states.mc_python` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import state
from corpus.project.layout import Layout, Roots
from corpus.project.python.site import Site

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_django"


def __virtual__():
    return __virtualname__


def secret_key(name: str) -> dict[str, Any]:
    """
    Make sure that the site has a secret key of its own: made once, kept in the project's registry, given as environment.

    Only when the settings read ``SECRET_KEY`` or ``DJANGO_SECRET_KEY`` from the environment, and nobody set it.

    name
        For the report.

    .. code-block:: yaml

        {{ cfg.name }}-secret-key:
          mc_django.secret_key: []
    """

    def give(cfg, say):
        layout = Layout(Roots.configured(__opts__), cfg["name"])
        given = Site(cfg, say).give_secret_key(layout)
        return ("it has one that corpus keeps" if given else "the site brings it, or it is configured"), {}

    return state(name, __opts__, give)


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

    return state(name, __opts__, collect)


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

    return state(name, __opts__, settle)


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

    return state(name, __opts__, migrate)
