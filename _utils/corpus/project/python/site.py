"""A Django site while it is deployed: its static files, media and settings, its warnings, its migrations.

Django itself is asked, through the site's own ``manage.py``: settings are Python, and only it knows what they come to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import commands

_MARK = "corpus-site:"
_ASK = """
import json
from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.management import call_command
said = {name: str(getattr(settings, name, "") or "") for name in ("STATIC_URL", "STATIC_ROOT", "MEDIA_URL", "MEDIA_ROOT")}
said["collected"] = bool(COLLECT and said["STATIC_ROOT"] and apps.is_installed("django.contrib.staticfiles"))
if said["collected"]:
    call_command("collectstatic", interactive=False, verbosity=0)
storage = (getattr(settings, "STORAGES", None) or {}).get("staticfiles", {}).get("BACKEND", "")
said["hashed"] = "Manifest" in str(storage or getattr(settings, "STATICFILES_STORAGE", ""))
found = checks.run_checks(include_deployment_checks=True) if CHECK else []
said["warnings"] = ["%s: %s" % (one.id, str(one.msg).split(". ")[0]) for one in found if one.level >= checks.WARNING]
print()
print("corpus-site:" + json.dumps(said))
"""


class Site:
    """The site of the release that is deployed.

    :param cfg: the project's live configuration
    :param say: gets every line that whoever pushed should see
    """

    def __init__(self, cfg: MutableMapping[str, Any], say: Callable[[str], None]) -> None:
        self.cfg, self.say = cfg, say
        self.tree = Path(cfg["project_root"])
        self.data = Path(str(cfg["data_root"]))
        self.settings = cfg["data"]["django"]

    def collect(self) -> str:
        """Collect the static files, when the settings say where to; show what Django warns of; return words."""
        said = self._ask(bool(self.settings["collectstatic"]), bool(self.settings["check"]))
        for warning in said["warnings"]:
            self.say(f"check --deploy: {warning}")
        if said["collected"]:
            return f"static files are in {self._shown(said['STATIC_ROOT'])}"
        return "no STATIC_ROOT: static files are not collected"

    def settle(self) -> str:
        """Keep uploads in ``data``, and let the web front serve static files and media; return words."""
        said = self.settings.get("said") or self._ask(False, False)
        words = []
        static = self._folder(said["STATIC_ROOT"])
        if static and self._prefix(said["STATIC_URL"]) and static.is_dir():
            self._serve(said["STATIC_URL"], str(static.relative_to(self.tree)), bool(said["hashed"]))
        media = self._folder(said["MEDIA_ROOT"])
        if media:
            self._link_media(media)
            words.append(f"{self._shown(str(media))} leads to {self.data / 'media'}")
        kept = self.data / "media" if media else Path(said["MEDIA_ROOT"] or "/")
        if self._prefix(said["MEDIA_URL"]) and kept.is_relative_to(self.data):
            self._serve(said["MEDIA_URL"], str(kept), False)
        return "; ".join(words) or "settled"

    def migrate(self) -> bool:
        """Apply the migrations that were not applied yet; return whether there were any.

        :raises CorpusError: one of them failed
        """
        try:
            self._manage("migrate", "--check", say=lambda _: None)
        except commands.CommandFailed:
            self._manage("migrate", "--noinput")
            return True
        return False

    def _ask(self, collect: bool, check: bool) -> dict[str, Any]:
        """Let Django say what its settings come to. What it says is remembered for the stages that follow."""

        def say(line: str) -> None:
            if line.strip() and not line.startswith(_MARK):
                self.say(line)

        output = self._manage("shell", "-v", "0", "-c", f"COLLECT, CHECK = {collect}, {check}\n{_ASK}", say=say)
        line = next((line for line in reversed(output.splitlines()) if line.startswith(_MARK)), None)
        if line is None:
            raise CorpusError("manage.py shell did not say what the settings are: see the deployment's log.")
        said: dict[str, Any] = json.loads(line.removeprefix(_MARK))
        self.settings["said"] = said
        return said

    def _manage(self, *words: str, say: Callable[[str], None] | None = None) -> str:
        python = f"{self.cfg['data']['python']['environment']}/bin/python"
        return commands.run(self.cfg, [python, "manage.py", *words], say or self.say)

    def _folder(self, given: str) -> Path | None:
        """A folder that settings name, when it lies in the tree and not at its top."""
        folder = self.tree / given if given else self.tree
        inside = folder != self.tree and ".." not in folder.parts and folder.is_relative_to(self.tree)
        return folder if inside else None

    @staticmethod
    def _prefix(url: str) -> str:
        """The path below which files are asked for; empty when another host serves them."""
        return f"/{url.strip('/')}/" if url.strip("/") and "//" not in url else ""

    def _serve(self, url: str, folder: str, hashed: bool) -> None:
        """Add to ``static_files``; what somebody configured stays."""
        served = {"folder": folder, "hashed": True} if hashed else folder
        self.cfg.setdefault("static_files", {}).setdefault(self._prefix(url), served)

    def _link_media(self, media: Path) -> None:
        """Move what the tree brings to ``data/media``, without replacing what is there, and lead there instead."""
        kept = self.data / "media"
        if media.is_symlink():
            return

        def run(*words: str) -> None:
            commands.run(self.cfg, words, self.say)

        run("mkdir", "-p", str(kept), str(media.parent))
        if media.is_dir():
            run("cp", "-a", "-n", f"{media}/.", str(kept))
            run("rm", "-rf", str(media))
        run("ln", "-s", str(kept), str(media))

    def _shown(self, path: str) -> str:
        return path.removeprefix(f"{self.tree}/")
