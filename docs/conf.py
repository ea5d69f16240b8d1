"""Sphinx. What the code knows already is read from it at build time: stages, keys, installers, docstrings."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "_utils"))

from corpus import __version__ as version  # noqa: E402 - found on the path that was just set
from corpus.client import command  # noqa: E402
from corpus.client.errors import STATUSES  # noqa: E402
from corpus.client.frame import COMMANDS, Command  # noqa: E402
from corpus.project import workflow  # noqa: E402
from corpus.project.keys import KEYS  # noqa: E402

project = "corpus"
author = "the corpus authors"
copyright = author  # Sphinx names it so
release = version

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"corpus {release}"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the docstrings say what an argument is
add_module_names = False

#: Salt has doors of several kinds under one name; here each needs one of its own.
DOORS = {
    "mc_project": "_modules/mc_project.py",
    "mc_project_2": "_modules/mc_project_2.py",
    "mc_python": "_modules/mc_python.py",
    "mc_php": "_modules/mc_php.py",
    "mc_zope": "_modules/mc_zope.py",
    "mc_node": "_modules/mc_node.py",
    "mc_seed": "_modules/mc_seed.py",
    "runners.mc_controller": "_runners/mc_controller.py",
    "runners.mc_project": "_runners/mc_project.py",
    "runners.mc_compute_node": "_runners/mc_compute_node.py",
    "runners.mc_guest": "_runners/mc_guest.py",
    "mc_lxc": "_modules/mc_lxc.py",
    "states.mc_lxc": "_states/mc_lxc.py",
    "clouds.mc_lxc": "_clouds/mc_lxc.py",
    "states.mc_project": "_states/mc_project.py",
    "states.mc_python": "_states/mc_python.py",
    "states.mc_django": "_states/mc_django.py",
    "states.mc_nodejs": "_states/mc_nodejs.py",
    "states.mc_php": "_states/mc_php.py",
    "states.mc_zope": "_states/mc_zope.py",
    "states.mc_node": "_states/mc_node.py",
    "runners.mc_owner": "_runners/mc_owner.py",
    "runners.mc_registry": "_runners/mc_registry.py",
    "runners.mc_dns": "_runners/mc_dns.py",
    "runners.mc_machine": "_runners/mc_machine.py",
    "pillar.mc_corpus": "_pillar/mc_corpus.py",
    "pillar.mc_project": "_pillar/mc_project.py",
    "output.mc_project": "_output/mc_project.py",
}


def load_doors() -> None:
    """Import every door under the name that the reference gives it."""
    for name, path in DOORS.items():
        spec = importlib.util.spec_from_file_location(name, CHECKOUT / path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


class Table(SphinxDirective):
    """A table whose rows are made from the code."""

    widths = ""

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of each row, the heads first."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the table as Sphinx wants it."""
        lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {self.widths}", ""]
        for head, *others in self.rows():
            lines += [f"   * - {head}", *(f"     - {cell}" for cell in others)]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=__file__), 0, holder)
        return holder.children


class Stages(Table):
    """Which stage runs in which mode."""

    widths = "22 12 12 12 10 32"

    def rows(self) -> Iterator[list[str]]:
        yield ["stage", *workflow.MODES, "short", "what it is for"]
        for stage in workflow.ALL.values():
            marks = ["yes" if mode in stage.modes else "no" for mode in workflow.MODES]
            yield [f"``{stage.name}``", *marks, "yes" if stage.short else "no", stage.summary]


class KeysToSet(Table):
    """The configuration keys that may be set."""

    widths = "26 14 20 40"

    def rows(self) -> Iterator[list[str]]:
        yield ["key", "type", "default", "meaning"]
        for key in KEYS.values():
            if not key.fixed:
                default = "not set" if key.default is None else f"``{key.default!r}``"
                yield [f"``{key.name}``", key.kind, default, key.doc.replace("*", "\\*")]


class ComputedKeys(Table):
    """The configuration keys that corpus computes."""

    widths = "30 20 50"

    def rows(self) -> Iterator[list[str]]:
        yield ["key", "type", "meaning"]
        for key in KEYS.values():
            if key.fixed:
                yield [f"``{key.name}``", key.kind, key.doc.replace("*", "\\*")]


class ExitStatuses(Table):
    """How the command ends."""

    widths = "10 90"

    def rows(self) -> Iterator[list[str]]:
        yield ["status", "meaning"]
        for number, what in STATUSES.items():
            yield [str(number), what]


class CommandReference(SphinxDirective):
    """Every command, as its own help has it."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each."""
        command.register()
        lines: list[str] = []
        for headline in dict.fromkeys(one.headline for one in COMMANDS.values()):
            lines += [headline, "-" * len(headline), ""]
            for name, one in COMMANDS.items():
                if one.headline == headline:
                    lines += self.command(name, one)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)

    def command(self, name: str, one: Command) -> Iterator[str]:
        """Yield what is said of a command."""
        yield from (name, "~" * len(name), "")
        context = one.make_context(name, [], resilient_parsing=True)
        yield from ("::", "", f"    corpus {name} {' '.join(one.collect_usage_pieces(context))}", "")
        yield from (self.escaped(one.help or ""), "")
        for option in one.params:
            if isinstance(option, click.Option) and (found := option.get_help_record(context)):
                yield from (f"``{found[0]}``", f"    {self.escaped(found[1])}", "")
        yield from ("::", "")
        for line, what in one.examples:
            yield f"    {line}{f'    # {what}' if what else ''}"
        yield ""

    def escaped(self, text: str) -> str:
        """Return a text in which nothing is markup."""
        return "".join(f"\\{char}" if char in "*`|\\" else char for char in text)


def setup(app: Sphinx) -> None:
    """Make doors and tables known to Sphinx."""
    load_doors()
    app.add_directive("exit-statuses", ExitStatuses)
    app.add_directive("command-reference", CommandReference)
    app.add_directive("stages", Stages)
    app.add_directive("keys-to-set", KeysToSet)
    app.add_directive("computed-keys", ComputedKeys)
