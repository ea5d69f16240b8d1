"""
The pillars of the projects of this machine
===========================================

Makes every project's pillar (the repository ``pillar.git`` that its people push to) part of the minion's pillar,
without a line in anybody's top file. Deployments do not need it: they read the project's pillar themselves. Use it
when other states must see a project's pillar.

.. code-block:: yaml

    # minion configuration
    ext_pillar:
      - mc_project: {}

A project whose pillar does not render is left out, with its error under ``makina-projects-errors``; all others
are served.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError
from corpus.project.layout import Layout
from corpus.project.minion import Minion, merged, project_pillar

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __opts__: dict[str, Any]
    __grains__: dict[str, Any]

log = logging.getLogger(__name__)

__virtualname__ = "mc_project"


def __virtual__():
    return __virtualname__


def ext_pillar(minion_id: str, pillar: dict[str, Any], **_: Any) -> dict[str, Any]:
    """
    Return the pillars of all projects of this machine as one.

    CLI Example:

    .. code-block:: bash

        salt-call --local pillar.items
    """
    grains = __opts__.get("grains") or {}
    minion = Minion(opts=__opts__, grains=grains, pillar=pillar, functions=__salt__)
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name in minion.roots.names():
        layout = Layout(minion.roots, name)
        try:
            found = merged(found, project_pillar(minion, layout, layout.pillar, layout.own / "pillar"))
        except CorpusError as err:
            log.error("%s", err)
            errors[name] = str(err)
    return {**found, "makina-projects-errors": errors} if errors else found
