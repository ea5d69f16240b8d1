"""
Packages of Node.js applications
================================

What the installer ``nodejs`` does in its stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import state
from corpus.project.nodejs.modules import Modules

if TYPE_CHECKING:
    __context__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_nodejs"


def __virtual__():
    return __virtualname__


def built(name: str) -> dict[str, Any]:
    """
    Make sure that the application's packages are installed as its lock says, and that it is built.

    By npm, yarn or pnpm, as the lock file and ``packageManager`` say; then ``heroku-postbuild`` or ``build`` of
    ``package.json``; then packages that only the build needed are removed.

    name
        The folder of the packages; for the report.

    .. code-block:: yaml

        {{ cfg.name }}-packages:
          mc_nodejs.built:
            - name: {{ cfg.project_root }}/node_modules
    """

    def build(cfg, say):
        words, reused = Modules(cfg, say).make()
        return words, {} if reused else {name: "made"}

    return state(name, __opts__, __context__, build)
