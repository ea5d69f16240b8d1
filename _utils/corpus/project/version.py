"""The version that comes: its tree and its pillar, prepared apart from what runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import dotenv, identifiers
from corpus.errors import ConfigurationError, PushRefused, UsageError
from corpus.project import configuration, dot_salt, initialization, stages, suite
from corpus.project.git import repositories
from corpus.project.running import front, health, supervision
from corpus.project.session import Request, Session
from corpus.project.takeover import own
from corpus.project.telling import notifications


class Version:
    """The tree and the pillar of a push, before anything runs from them.

    :param session: that deploys or plans them
    :param request: names the revisions
    :param folder: where they are prepared: absolute, on the file system of the running tree, not there yet
    """

    def __init__(self, session: Session, request: Request, folder: Path) -> None:
        self.session, self.request, self.layout = session, request, session.layout
        self.folder = folder
        self.tree = folder / "project"
        self.pillar = folder / "pillar"
        #: whether its processes and its stages can have a private view
        self.views = False

    @property
    def pillar_now(self) -> Path:
        """The pillar that counts for this version: the one that comes, or the one that is there."""
        return self.pillar if self.pillar.is_dir() else self.layout.pillar

    def prepare(self) -> None:
        """Bring the tree and the pillar to a place of their own, and assemble the configuration from them.

        :raises UsageError: nothing was pushed yet, or there is no such revision
        :raises ConfigurationError: something in the configuration cannot be
        """
        session, layout = self.session, self.layout
        before = settled(session, self.request)
        user = before["user"] if session.minion.privileged else None
        self._check_replaced(before, user)
        session.borrowed = dict(self.request.project_env)
        session.report.revision = self._revision(before, user)
        self.folder.mkdir(mode=0o711)
        self._empty(self.tree, 0o755, user, before["group"])
        repositories.check_out(
            layout.project_git,
            self.tree,
            session.report.revision,
            branch=before["project_branch"],
            url=before["url"],
            user=user,
            env=self.request.project_env,
        )
        self._prepare_pillar(before, user)
        dot_salt.complete(self.tree / ".salt", user, before["group"])
        stages.configure(session, self.tree, self.pillar_now, self.request.settings)
        check(session.cfg)
        front.Front(layout.roots, supervision.of(layout.roots)).check_free(layout, session.cfg)

    def _check_replaced(self, cfg: Mapping[str, Any], user: str | None) -> None:
        """Check that a push still replaces what it believes to: git would refuse it after it was deployed.

        :raises PushRefused: another push came in between
        """
        for repository, old in self.request.replaces.items():
            branch = cfg[f"{repository}_branch"]
            now = repositories.head(self.layout.git / f"{repository}.git", branch, user)
            if now != (old if old.strip("0") else None):
                raise PushRefused(f"The branch {branch} was moved by another push meanwhile: fetch it, and push again.")

    def _revision(self, cfg: Mapping[str, Any], user: str | None) -> str | None:
        """Return the full id of the commit to deploy; None when a release is deployed that brings its own tree."""
        bare, asked = self.layout.project_git, self.request.revision
        found = repositories.revision(bare, asked or f"refs/heads/{cfg['project_branch']}", user, self.session.borrowed)
        if found is None and asked:
            raise UsageError(f"There is no revision {identifiers.shown(asked)} in {bare}.")
        if found is None and not cfg["release_artifacts_urls"]:
            raise UsageError(
                f"Nothing was pushed to {self.layout.name!r} yet: "
                f"git push {initialization.remote(cfg, bare)} HEAD:{cfg['project_branch']}"
            )
        return found

    def _prepare_pillar(self, cfg: Mapping[str, Any], user: str | None) -> None:
        """Check the pillar out beside the one that is there, when it is another."""
        bare, env = self.layout.pillar_git, self.request.pillar_env
        asked = self.request.pillar_revision or f"refs/heads/{cfg['pillar_branch']}"
        revision = repositories.revision(bare, asked, user, env)
        if revision is None or revision == repositories.revision(self.layout.pillar, "HEAD", user):
            return
        self._empty(self.pillar, 0o700, user, cfg["group"])
        repositories.check_out(
            bare, self.pillar, revision, branch=cfg["pillar_branch"], url=cfg["pillar_url"], user=user, env=env
        )

    @staticmethod
    def _empty(folder: Path, mode: int, user: str | None, group: str) -> None:
        folder.mkdir()
        folder.chmod(mode)
        own(folder, user, group)


def settled(session: Session, request: Request) -> dict[str, Any]:
    """Return the configuration before the tree that comes is known."""
    settings = {**configuration.stored_settings(session.layout), **request.settings}
    return initialization.settled(session.minion, session.layout, settings)


def check(cfg: Mapping[str, Any]) -> None:
    """Find now what would fail late.

    :raises ConfigurationError: the environment, the health check, the tests, a notification or the web address cannot be as configured; a variable
        that is required has no value
    """
    check_required(cfg)
    dotenv.check(cfg["env"])
    front.check(cfg)  # before the health check, which asks for the same host name
    health.Check.configured(cfg)
    notifications.check(cfg)
    suite.Settings.configured(cfg)


def check_required(cfg: Mapping[str, Any]) -> None:
    """Check that every variable which the application cannot do without has a value.

    :raises ConfigurationError: one has none
    """
    missing = [str(name) for name in cfg["required_env"] if not str(cfg["env"].get(name) or "")]
    if missing:
        raise ConfigurationError(
            f"The application needs a value for {', '.join(missing)} (app.json, env): "
            f"mc_project.env_set {cfg['name']} {missing[0]}=… sets it."
        )
