"""Django sites as their source shows them: settings module, application, which variables the settings read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from corpus.project import manifests
from corpus.project.python.application import ASGI, WSGI, Application

_SETTINGS = re.compile(r"""["']DJANGO_SETTINGS_MODULE["']\s*,\s*["']([A-Za-z_][\w.]*)["']""")
_APPLICATION = {
    WSGI: re.compile(r"""^WSGI_APPLICATION\s*=\s*["']([\w.]+)\.(\w+)["']""", re.MULTILINE),
    ASGI: re.compile(r"""^ASGI_APPLICATION\s*=\s*["']([\w.]+)\.(\w+)["']""", re.MULTILINE),
}
_READ = re.compile(r"""(?:environ(?:\.get)?|getenv|env(?:\.\w+)?|config)\s*[\[(]\s*["']([A-Z][A-Z0-9_]*)["']""")
_ASGI_SERVERS = {"daphne", "uvicorn", "hypercorn"}


@dataclass(frozen=True)
class Site:
    """A Django site.

    :param settings: dotted name of its settings module; empty when it cannot be told
    :param application: what a server loads; None when it cannot be told
    :param reads: names of the environment variables that its settings read
    """

    settings: str
    application: Application | None
    reads: frozenset[str]


def site(tree: Path, packages: set[str]) -> Site:
    """Return what a tree's source says of the site.

    :param packages: that the tree asks for: a server for ASGI among them makes ASGI count, where the site has it
    """
    own = _named_in(tree, "manage.py")
    top = own.split(".")[0]
    served = next(
        (name for place in ("wsgi", "asgi") if (name := _named_in(tree, f"{top}/{place}.py"))),
        "",
    )
    settings = served or own
    text = _settings_text(tree, settings)
    applications: dict[str, Application] = {}
    for kind, pattern in _APPLICATION.items():
        said = pattern.search(text)
        if said:
            applications[kind] = Application(said[1], said[2], kind)
        elif top and manifests.present(tree, f"{top}/{kind}.py"):
            applications[kind] = Application(f"{top}.{kind}", "application", kind)
    wants_asgi = bool(_ASGI_SERVERS & packages) and not {"gunicorn", "waitress", "uwsgi"} & packages
    order = (ASGI, WSGI) if wants_asgi else (WSGI, ASGI)
    application = next((applications[kind] for kind in order if kind in applications), None)
    return Site(settings, application, frozenset(_READ.findall(text)))


def _named_in(tree: Path, name: str) -> str:
    found = _SETTINGS.search(manifests.text(tree, name))
    return found[1] if found else ""


def _settings_text(tree: Path, module: str) -> str:
    """The source of the settings: the module, and when it stands in a package of settings, its neighbours."""
    if not module:
        return ""
    path = Path(*module.split("."))
    names = [f"{path}.py", f"{path}/__init__.py"]
    folder = path if (tree / path).is_dir() else path.parent
    if folder.name == "settings" and (tree / folder).is_dir():
        names += sorted(str(folder / one.name) for one in (tree / folder).glob("*.py"))[:20]
    return "\n".join(manifests.text(tree, name) for name in dict.fromkeys(names))
