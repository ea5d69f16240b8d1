"""
The controller's ear
====================

Keeps what guests tell of their deployments, stage by stage, where people can follow it, and forgets it after a while. Beside
it, a process answers what the web service asks. The master runs it:

.. code-block:: yaml

    engines:
      - mc_controller: {}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.controller import answering, cloud, following

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_controller"


def __virtual__():
    return __virtualname__


def start() -> None:
    """
    Listen until the master ends.

    CLI Example:

    .. code-block:: yaml

        engines:
          - mc_controller: {}
    """
    answers = answering.Answers(lambda: cloud.of(globals()))
    answers.keep()
    following.listen(cloud.of(globals()), answers.keep)
