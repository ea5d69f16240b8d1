"""Django sites: what says that a tree is one, how it is served, what its settings want to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project import manifests
from corpus.project.found import procfile, python
from corpus.project.python import django

#: what settings usually read, and what it is here when nobody says anything else
_USUAL = {
    "ALLOWED_HOSTS": "{domain},{main_ip},localhost,127.0.0.1",
    "DJANGO_ALLOWED_HOSTS": "{domain},{main_ip},localhost,127.0.0.1",
    "DATABASE_URL": "sqlite:///{data_root}/db.sqlite3",
}


def look(tree: Path) -> str | None:
    """Return why a tree is a Django site, or None."""
    if "django" not in (manifests.small_text(tree, "manage.py") or "").lower():
        return None
    described = python.look(tree)
    return f"manage.py and {described}" if described else None


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a Django tree: the web process, the settings, and variables that the settings read."""
    asked = python.packages(tree)
    site = django.site(tree, asked)
    told = python.served(tree, None if procfile.web(tree) else site.application, asked)
    if site.settings:
        told["env"]["DJANGO_SETTINGS_MODULE"] = site.settings
    keys = sorted({"SECRET_KEY", "DJANGO_SECRET_KEY"} & site.reads)
    if keys:
        told["secret_env"] = keys
    told["env"].update({name: value for name, value in _USUAL.items() if name in site.reads})
    return told
