"""Where everything of a project lies on disk. Every path that corpus uses is spelled here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus import identifiers
from corpus.errors import ProjectNotFound, UsageError

#: the folder of links in the state and in the pillar root (the RFC's name for it)
LINKS = "makina-projects"
#: what ``corpus.supervisor`` in Salt's configuration may say
SUPERVISORS = ("auto", "systemd", "supervisord")


@dataclass(frozen=True)
class Roots:
    """What all projects of a machine share: three folders, all absolute, and who keeps their processes running.

    :param projects: one folder a project
    :param states: Salt's state tree, where each project's ``.salt`` is linked
    :param pillars: Salt's pillar tree, where each project's pillar is linked
    :param supervisor: systemd, supervisord, or auto: systemd where it runs and we are root
    """

    projects: Path = Path("/srv/projects")
    states: Path = Path("/srv/salt")
    pillars: Path = Path("/srv/pillar")
    supervisor: str = "auto"

    @classmethod
    def configured(cls, opts: Mapping[str, Any]) -> Roots:
        """Read them from Salt's configuration.

        ``corpus.projects_root``, ``corpus.states_root``, ``corpus.pillar_root``, ``corpus.supervisor``.

        :raises UsageError: a folder is not an absolute path, or there is no such supervisor
        """
        nested = opts.get("corpus") or {}
        found: dict[str, Any] = {}
        for part, key in (
            ("projects", "projects_root"),
            ("states", "states_root"),
            ("pillars", "pillar_root"),
        ):
            value = opts.get(f"corpus.{key}", nested.get(key) if isinstance(nested, Mapping) else None)
            if value is None:
                continue
            if not isinstance(value, str) or not value.startswith("/"):
                raise UsageError(f"corpus.{key} in Salt's configuration must be an absolute path, not {value!r}.")
            found[part] = Path(value)
        kind = opts.get("corpus.supervisor", nested.get("supervisor") if isinstance(nested, Mapping) else None)
        if kind is not None:
            if kind not in SUPERVISORS:
                raise UsageError(
                    f"corpus.supervisor in Salt's configuration is one of {', '.join(SUPERVISORS)}, not {kind!r}."
                )
            found["supervisor"] = kind
        return cls(**found)

    @property
    def own(self) -> Path:
        """What corpus itself keeps for the whole machine: supervisor, web front."""
        return self.projects / ".corpus"

    def names(self) -> list[str]:
        """The names of the projects that exist, sorted."""
        try:
            entries = sorted(entry.name for entry in self.projects.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []
        return [name for name in entries if not name.startswith(".") and (self.projects / name / ".corpus").is_dir()]


@dataclass(frozen=True)
class Layout:
    """The folders and files of one project.

    :param roots: the shared folders
    :param name: the project's name, checked on construction
    """

    roots: Roots
    name: str
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.roots.projects / identifiers.project_name(self.name))

    @classmethod
    def existing(cls, roots: Roots, name: str) -> Layout:
        """Return the layout of a project that was initialized.

        :raises ProjectNotFound: it was not
        """
        layout = cls(roots, name)
        if not layout.settings.is_file():
            known = ", ".join(roots.names()) or "none yet"
            raise ProjectNotFound(
                f"There is no project {name!r} under {roots.projects} (there: {known}): mc_project.init_project {name} makes it."
            )
        return layout

    # what the RFC names
    @property
    def git(self) -> Path:
        return self.folder / "git"

    @property
    def project_git(self) -> Path:
        """The bare repository that the application is pushed to."""
        return self.git / "project.git"

    @property
    def pillar_git(self) -> Path:
        """The bare repository that the project's pillar is pushed to."""
        return self.git / "pillar.git"

    @property
    def project(self) -> Path:
        """The runtime tree."""
        return self.folder / "project"

    @property
    def pillar(self) -> Path:
        return self.folder / "pillar"

    @property
    def salt(self) -> Path:
        return self.project / ".salt"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def build(self) -> Path:
        return self.folder / "build"

    @property
    def deploy(self) -> Path:
        return self.folder / "deploy"

    @property
    def archives(self) -> Path:
        return self.folder / "archives"

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    @property
    def deployed(self) -> Path:
        return self.releases / "deployed"

    @property
    def failed(self) -> Path:
        return self.releases / "failed"

    @property
    def current(self) -> Path:
        """The link that names the running release."""
        return self.deployed / "current"

    @property
    def home(self) -> Path:
        """The home of the project's user: ssh keys, caches of package managers."""
        return self.folder / "home"

    @property
    def logs(self) -> Path:
        """What the project's processes print."""
        return self.folder / "logs"

    def log(self, kind: str) -> Path:
        """What the processes of a type print, of all releases."""
        return self.logs / f"{kind}.log"

    # what corpus keeps about the project, readable by nobody else
    @property
    def own(self) -> Path:
        return self.folder / ".corpus"

    @property
    def settings(self) -> Path:
        """What was set explicitly, by init_project and set_configuration."""
        return self.own / "settings.json"

    @property
    def snapshot(self) -> Path:
        """The whole configuration of the last successful initialization or deployment."""
        return self.own / "deployed.json"

    @property
    def key(self) -> Path:
        return self.own / "secret.key"

    @property
    def registry(self) -> Path:
        """Credentials that corpus made for the project, every leaf encrypted with the key."""
        return self.own / "registry.json"

    @property
    def made_user(self) -> Path:
        """Present when the project's user was made for it, and goes with it."""
        return self.own / "made_user"

    @property
    def lock(self) -> Path:
        return self.own / "lock"

    @property
    def maintenance(self) -> Path:
        """Present while the project is locked by hand."""
        return self.own / "maintenance.json"

    @property
    def journal(self) -> Path:
        """Present while a deployment is under way, or after it died."""
        return self.own / "journal"

    @property
    def reserve(self) -> Path:
        """A megabyte that is given back when the disk is full, so that a rollback can be written down."""
        return self.own / "reserve"

    @property
    def history(self) -> Path:
        return self.own / "history"

    @property
    def reports(self) -> Path:
        """The accounts of deployments, one file each."""
        return self.own / "reports"

    @property
    def statistics(self) -> Path:
        """A line for every deployment there ever was, one file a year."""
        return self.own / "statistics"

    @property
    def deployment_logs(self) -> Path:
        return self.own / "log"

    @property
    def incoming(self) -> Path:
        """Releases that another machine handed over."""
        return self.own / "incoming"

    @property
    def upgrades(self) -> Path:
        return self.own / "upgrades"

    @property
    def sls(self) -> Path:
        """File roots of our own, one for each deployment under way: links to the installer and to ``.salt``."""
        return self.own / "sls"

    @property
    def view(self) -> Path:
        """Empty folders, the mount points of private views."""
        return self.roots.own / "views" / self.name

    @property
    def state_link(self) -> Path:
        return self.roots.states / LINKS / self.name

    @property
    def pillar_link(self) -> Path:
        return self.roots.pillars / LINKS / self.name

    # a release
    def release(self, release: str) -> Path:
        """The folder of a release: manifest, artifacts, and ``project`` while its tree is kept whole."""
        return self.deployed / release

    def tree(self, release: str) -> Path:
        """The tree of a release that does not run: one that is being made, or the one before."""
        return self.release(release) / "project"

    def pillar_tree(self, release: str) -> Path:
        return self.release(release) / "pillar"

    def manifest(self, release: str) -> Path:
        return self.release(release) / "manifest.json"

    def processes(self, release: str) -> Path:
        """The processes of a release with their environment (0600)."""
        return self.own / "processes" / f"{release}.json"

    def environment(self, release: str) -> Path:
        """The saved environment that a release was deployed with (0600, sealed)."""
        return self.release(release) / "environment.json"

    def processes_before(self, release: str) -> Path:
        """The processes of the running release before a change of them that is under way (0600)."""
        return self.own / "processes" / f"{release}.before.json"

    def archive(self, release: str) -> Path:
        return self.archives / release

    def running(self) -> str | None:
        """The id of the running release, or None before the first deployment."""
        try:
            return self.current.readlink().name
        except (FileNotFoundError, OSError):
            return None
