"""
The pillars of compute nodes and guests
=======================================

Tells every node and every guest what the registry knows of it, under ``corpus``. A minion sees its own data only.

.. code-block:: yaml

    # master configuration
    ext_pillar:
      - mc_corpus: {}

Where the registry is says the key ``corpus`` of the master's configuration. A registry that fails makes the pillar
fail, and with it every state that would have used it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_corpus"


def __virtual__():
    return __virtualname__


def ext_pillar(minion_id: str, pillar: dict[str, Any], **_: Any) -> dict[str, Any]:
    """
    Return what the registry knows of a minion, under ``corpus``; nothing for one that is neither node nor guest.

    CLI Example:

    .. code-block:: bash

        salt-run pillar.show_pillar shop.corpus.test
    """
    # Not above: minions load this file, too, and have no database.
    from corpus.controller import pillar as pillars
    from corpus.controller.settings import Settings

    settings = Settings.configured(__opts__)
    return pillars.of(pillars.opened(settings.registry_url, settings.key_file), minion_id)
