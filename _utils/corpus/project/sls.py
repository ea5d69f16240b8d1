"""Runs sls with the live ``cfg``: one HighState for a whole deployment, made ready again between two runs.

What Salt needs for that (injection by ``render_highstate``, what must be reset) was measured on 3008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project.installers import official_root
from corpus.project.minion import Minion, first_line


@dataclass(frozen=True)
class StateResult:
    """What one state did.

    :param id: its id in the sls
    :param function: ``file.managed``
    :param name: what it worked on
    :param result: True, False, or None (``test=True``: something would change)
    :param changes: what changed or would change
    :param comment: its own words
    :param seconds: how long it took
    """

    id: str
    function: str
    name: str
    result: bool | None
    changes: Any
    comment: str
    seconds: float

    @property
    def unknown(self) -> bool:
        """Under ``test=True``: it would run, and cannot tell what it would change."""
        return self.result is None and not self.changes


class SlsRunner:
    """Renders and runs sls of one project.

    :param minion: where they run
    :param cfg: the live mapping; sls change it, and the changes stay
    :param pillar: the minion's pillar with the project's own
    :param root: file root with the project and its installer, see :func:`corpus.project.installers.wire`
    :param test: tell what would change and change nothing
    """

    def __init__(
        self, minion: Minion, cfg: dict[str, Any], pillar: Mapping[str, Any], root: Path, test: bool = False
    ) -> None:
        import salt.state

        self.cfg = cfg
        opts = minion.plain_opts()
        roots = dict(opts.get("file_roots") or {})
        roots["base"] = [str(root), str(official_root()), *roots.get("base", [])]
        opts.update(
            file_client="local",
            file_roots=roots,
            pillar=dict(pillar),
            test=test,
            failhard=True,
            ms_project=cfg,
        )
        self._state = salt.state
        self._high = salt.state.HighState(
            opts, context={"mc_project.cfg": cfg}, initial_pillar=dict(pillar) or {"makina-projects": {}}
        )
        _hasten(self._high.state.states)
        # Salt copies its configuration on the way: let the alias lead to the one and only cfg.
        self._high.opts["ms_project"] = self._high.state.opts["ms_project"] = cfg

    def run(self, reference: str) -> list[StateResult]:
        """Run one sls and return what its states did, in order. Stops after the first that fails.

        :param reference: ``makina-projects.<name>.<sls>``
        :raises CorpusError: it does not render, or does not compile
        """
        self._make_ready()
        self._high.push_active()
        try:
            high, errors = self._high.render_highstate({"base": [reference]}, context={"cfg": self.cfg})
            if errors:
                raise CorpusError(first_line(errors[0]))
            if not high:
                return []
            done = self._high.state.call_high(high)
        finally:
            self._high.pop_active()
        if isinstance(done, list):
            raise CorpusError(first_line(done[0]) if done else f"{reference} does not compile.")
        return [
            _result(tag, chunk) for tag, chunk in sorted(done.items(), key=lambda item: item[1].get("__run_num__", 0))
        ]

    def _make_ready(self) -> None:
        """Forget the previous run: a HighState is built to run once."""
        high, state = self._high, self._high.state
        high.building_highstate = type(high.building_highstate)()
        high.iorder = 10000
        high.avail = self._state.LazyAvailStates(high)
        state.reset_run_num()
        state._processed_sls_files = set()
        state.pre = {}
        state.procs = {}
        state.inject_globals = {}
        state.disabled_states = None


def _hasten(states: Any) -> None:
    """Let Salt find out at once that a state's module lacks an optional function.

    For a state with ``unless``, ``onlyif`` or ``creates``, Salt (3008) asks its loader for the module's ``mod_run_check``;
    ``check_cmd`` and ``watch`` have such functions, too. Where the module has none, the loader loads every module that
    there is before it says so, which takes seconds.

    :param states: Salt's loader of states
    """
    load = getattr(states, "_load", None)
    if load is None:  # another Salt
        return

    def loads(key: str) -> Any:
        module, _, function = key.partition(".")
        return False if function.startswith("mod_") and module in states.loaded_modules else load(key)

    states._load = loads


def _result(tag: str, chunk: Mapping[str, Any]) -> StateResult:
    module, _, rest = tag.partition("_|-")
    function = f"{module}.{rest.rsplit('_|-', 1)[-1]}"
    comment = chunk.get("comment", "")
    return StateResult(
        id=str(chunk.get("__id__", "")),
        function=function,
        name=str(chunk.get("name", "")),
        result=chunk.get("result"),
        changes=chunk.get("changes") or {},
        comment="\n".join(comment) if isinstance(comment, list) else str(comment),
        seconds=_milliseconds(chunk.get("duration", 0)) / 1000,
    )


def _milliseconds(value: object) -> float:
    try:
        return float(str(value).split()[0])
    except (ValueError, IndexError):
        return 0.0
