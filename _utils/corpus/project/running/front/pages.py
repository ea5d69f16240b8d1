"""The pages that the front shows itself: closed for maintenance, the application is silent, nobody lives here."""

from __future__ import annotations

import os
from pathlib import Path

from corpus import files
from corpus.errors import ConfigurationError
from corpus.project.running.front.served_files import nameable

_LARGEST = 1 << 20  # bytes of a page that a project brings

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
{refresh}<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #f6f4ef; --card: #fff; --line: #e3dfd5; --sign: {sign}; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8ebf0; --soft: #9aa5b4; --paper: #14181f; --card: #1c222b; --line: #2c3440; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
main {{ max-width: 32rem; width: 100%; padding: 2.5rem; background: var(--card); border: 1px solid var(--line);
  border-top: 4px solid var(--sign); border-radius: .75rem; }}
svg {{ display: block; width: 3rem; height: 3rem; margin-bottom: 1.25rem; stroke: var(--sign); fill: none;
  stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }}
h1 {{ margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; text-wrap: balance; }}
p {{ margin: 0; color: var(--soft); }}
small {{ display: block; margin-top: 1.5rem; color: var(--soft); font-size: .8125rem; overflow-wrap: anywhere; }}
</style>
<main>
<svg viewBox="0 0 24 24" aria-hidden="true">{drawing}</svg>
<h1>{title}</h1>
<p>{words}</p>
{more}</main>
</html>
"""

_CLOSED = _PAGE.format(
    title="We will be right back",
    words="This site is closed for a short time while it is being looked after. Please come back in a few minutes.",
    refresh='<meta http-equiv="refresh" content="60">\n',
    sign="#c2861a",
    drawing='<path d="M14.7 6.3a4 4 0 0 0-5.4 5.2L3 17.8V21h3.2l6.3-6.3a4 4 0 0 0 5.2-5.4L15 12l-3-3z"/>',
    more="",
)
_SILENT = _PAGE.format(
    title="No answer just now",
    words="The application behind this address did not answer. Please try again in a moment.",
    refresh="",
    sign="#c0453b",
    drawing='<path d="M12 3 2 20h20z"/><path d="M12 10v4"/><path d="M12 17h.01"/>',
    more='<small>Request <!--#echo var="corpus_request" --></small>\n',
)
_MISSING = _PAGE.format(
    title="There is nothing here",
    words="This address leads to no page. It may have moved, or never have been.",
    refresh="",
    sign="#4a72b8",
    drawing='<circle cx="11" cy="11" r="7"/><path d="m20 20-4-4"/>',
    more="",
)


def write(folder: Path) -> None:
    """Write the pages of all projects.

    :param folder: where they go, absolute, there
    """
    for name, text in (("silent", _SILENT), ("missing", _MISSING)):
        files.write(folder / f"{name}.html", text)


def write_closed(folder: Path, tree: Path, chosen: str | None) -> None:
    """Write a project's maintenance page: its own, or ours.

    :param folder: where it goes, absolute, there
    :param tree: of the project
    :param chosen: path of its page in the tree; None: ``maintenance.html`` when there is one
    :raises ConfigurationError: the chosen one is no file of the tree, or no page
    """
    text = _read_below(tree, chosen or "maintenance.html")
    if text is None and chosen:
        raise ConfigurationError(
            f"maintenance_page: {chosen!r} is no file of the project's tree in UTF-8, at most 1 MiB, without links on its way."
        )
    files.write(folder / "closed.html", text or _CLOSED)


def check(chosen: str | None) -> None:
    """Check the path of a maintenance page.

    :raises ConfigurationError: it leads out of the tree
    """
    if chosen is not None and (
        not chosen or chosen.startswith("/") or ".." in Path(nameable("maintenance_page", chosen)).parts
    ):
        raise ConfigurationError(f"maintenance_page: {chosen!r} leads out of the project's tree.")


def _read_below(tree: Path, path: str) -> str | None:
    """Return the text of a file below a tree; no link is followed on the way, the tree belongs to somebody else."""
    handles: list[int] = []
    try:
        handles.append(os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        *folders, name = Path(path).parts
        for folder in folders:
            handles.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handles[-1]))
        handles.append(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handles[-1]))
        content = os.read(handles[-1], _LARGEST + 1)
        return content.decode("utf-8") if len(content) <= _LARGEST else None
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    finally:
        for handle in handles:
            os.close(handle)
