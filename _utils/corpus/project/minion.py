"""What a door hands to the rooms: the Salt minion it runs in, as plain values."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import processes
from corpus.errors import ConfigurationError
from corpus.project.layout import LINKS, Layout, Roots


@dataclass(frozen=True)
class Minion:
    """A Salt minion, or ``salt-call``.

    :param opts: its configuration
    :param grains: its grains
    :param pillar: its pillar, in the clear
    :param functions: its execution modules
    """

    opts: Mapping[str, Any]
    grains: Mapping[str, Any]
    pillar: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]

    @property
    def roots(self) -> Roots:
        """The folders that its projects share."""
        return Roots.configured(self.opts)

    @property
    def privileged(self) -> bool:
        """Whether projects get users of their own."""
        return os.geteuid() == 0

    @property
    def talks_to_a_terminal(self) -> bool:
        """Whether somebody is watching: progress is for them, not for a minion's log."""
        return self.opts.get("__cli") == "salt-call"

    def salt_call(self, function: str, *arguments: str) -> list[str]:
        """Return the command by which another program calls a function here, and takes its exit status for an answer."""
        beside = Path(sys.executable).parent / "salt-call"
        program = str(beside) if beside.exists() else processes.which("salt-call")
        folder = str(self.opts.get("config_dir") or Path(self.opts.get("conf_file") or "/etc/salt/minion").parent)
        words = [program, "-c", folder, "--local", "--retcode-passthrough", "--out-file=/dev/null", "--log-level=quiet"]
        return [*words, function, *arguments]

    def plain_opts(self) -> dict[str, Any]:
        """Return a deep copy of the configuration that may be changed."""
        return copy.deepcopy(dict(self.opts))

    def plain_pillar(self) -> dict[str, Any]:
        """Return a deep copy of the pillar as plain mappings."""
        return copy.deepcopy(dict(self.pillar))

    def rendered(self, path: Path, **context: Any) -> dict[str, Any]:
        """Render a YAML file with Jinja, as Salt renders an sls, and return its mapping.

        :raises ConfigurationError: it does not render, or is no mapping
        """
        if not path.exists():
            return {}
        text = path.read_text(encoding="utf-8", errors="replace")
        if not text.strip():
            return {}
        try:  # as a string: for a path Salt would set up a whole file client
            value = self.functions["slsutil.renderer"](string=text, default_renderer="jinja|yaml", **context)
        except Exception as err:
            raise ConfigurationError(f"{path.name} does not render: {first_line(err)}") from err
        if not value:
            return {}
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{path.name} must hold a mapping.")
        return dict(value)


def project_pillar(minion: Minion, layout: Layout, folder: Path, scratch: Path) -> dict[str, Any]:
    """Compile the pillar of one project alone, so that no other project's mistake can touch it.

    :param folder: the clone of the pillar; its ``init.sls`` is compiled with all that it includes
    :param scratch: a folder of ours for the pillar root with its top file
    :raises ConfigurationError: it does not render
    """
    if not (folder / "init.sls").is_file():
        return {}
    import salt.pillar

    from corpus import files

    (scratch / LINKS).mkdir(parents=True, exist_ok=True)
    files.link(scratch / LINKS / layout.name, folder)
    files.write(scratch / "top.sls", f"base:\n  '*':\n    - {LINKS}.{layout.name}\n")
    opts = minion.plain_opts()
    opts.update(
        file_client="local",
        pillar_roots={"base": [str(scratch)]},
        ext_pillar=[],
        pillarenv=None,
        pillar_cache=False,
    )
    compiler = salt.pillar.Pillar(opts, dict(minion.grains), opts.get("id", ""), "base")
    try:
        compiled = dict(compiler.compile_pillar(ext=False))
    finally:
        compiler.destroy()
    errors = compiled.pop("_errors", None)
    if errors:
        # Salt names no reason here, because a pillar that does not render may hold secrets that nobody knows yet.
        words = first_line(errors[0]).replace("Please see master log for details.", "the minion's log has the reason.")
        raise ConfigurationError(f"The pillar of {layout.name!r} does not render: {words}")
    return compiled


def merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one: mappings inside merge, everything else of ``strong`` wins."""
    result = dict(weak)
    for key, value in strong.items():
        ours = result.get(key)
        result[key] = merged(ours, value) if isinstance(ours, Mapping) and isinstance(value, Mapping) else value
    return result


def first_line(error: object) -> str:
    """Return what an error says in one line: its first lines that say something, without the source excerpt."""
    text = str(error).split("\n---\n")[0].split("Traceback (most recent")[0]
    words = " ".join(text.split())
    return words if len(words) <= 400 else words[:399] + "…"
