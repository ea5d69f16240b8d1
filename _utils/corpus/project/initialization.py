"""What a project needs before anything can be pushed to it: user, keys, folders, repositories, hooks, links.

Each part is a step that knows whether it is there, so a second run changes nothing, and ``test=True`` is honest.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.errors import ConfigurationError, CorpusError, UsageError
from corpus.project import configuration, dot_salt, session, workflow
from corpus.project.git import hook, repositories
from corpus.project.keeping import lock, registry
from corpus.project.layout import Layout
from corpus.project.minion import Minion, merged, project_pillar
from corpus.project.running import boot, supervision, systemd
from corpus.project.takeover import own
from corpus.secrets import Redactor


@dataclass(frozen=True)
class Step:
    """A part of an initialization.

    :param what: in words
    :param missing: tells whether it is still to be done
    :param make: does it
    """

    what: str
    missing: Callable[[], bool]
    make: Callable[[], object]


def initialize(minion: Minion, name: str, settings: Mapping[str, Any], who: str, test: bool = False) -> dict[str, Any]:
    """Make a project ready to be pushed to. Doing it again changes nothing.

    :param settings: configuration keys to save
    :param test: tell what would be done, and do nothing
    :returns: ``{name, result, changes: {done: [...]}, comment, remotes: {project, pillar}}``
    :raises CorpusError: a name or a key is bad, or a step did not work; what was done stays and is not done again
    """
    layout = Layout(minion.roots, name)
    given = configuration.checked_settings(settings)
    stored = configuration.stored_settings(layout) if layout.settings.exists() else {}
    wanted = merged(stored, given)
    cfg = settled(minion, layout, wanted)
    steps = _Steps(minion, layout, cfg, wanted)
    if test:
        todo = [step.what for step in steps.all() if step.missing()]
    else:
        _make_ground(layout)
        with lock.held(layout, "initialize", who):
            todo = []
            for step in steps.all():
                if step.missing():
                    step.make()
                    todo.append(step.what)
            if todo or not layout.snapshot.exists():
                tree_cfg = _whole(minion, layout, wanted)
                configuration.store_snapshot(layout, tree_cfg, redactor(minion, layout, wanted))
    remotes = {"project": remote(cfg, layout.project_git), "pillar": remote(cfg, layout.pillar_git)}
    if not todo:
        comment = f"{name} is initialized already, nothing changed."
    elif test:
        comment = f"{name} would be initialized."
    else:
        comment = f"{name} is initialized: git push {remotes['project']} HEAD:{cfg['project_branch']}"
    return {
        "name": name,
        "result": True,
        "changes": {"done" if not test else "to do": todo} if todo else {},
        "comment": comment,
        "remotes": remotes,
    }


def settled(minion: Minion, layout: Layout, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as far as it does not depend on a tree that is still to come.

    :raises ConfigurationError: something in it cannot be
    """
    return configuration.assemble(
        layout,
        grains=minion.grains,
        pillar=_pillar(minion, layout),
        settings=settings,
        privileged=minion.privileged,
        with_installer=False,
    ).values


#: what must be known of a project before its tree and its pillar are, and what holds no secret
_SETTLED = (
    *("operation_mode", "project_branch", "pillar_branch", "user", "group", "data_root"),
    *("domain", "http_address", "http_port", "release_artifacts_urls"),
)


def _pillar(minion: Minion, layout: Layout) -> dict[str, Any]:
    """Return the minion's pillar with the project's own; one that does not render counts as it was deployed last.

    Else the push that mends it could not be taken.

    :raises ConfigurationError: it does not render, and nothing was deployed yet
    """
    pillar = minion.plain_pillar()
    if not layout.own.is_dir():
        return pillar
    try:
        return merged(pillar, project_pillar(minion, layout, layout.pillar, layout.own / "pillar"))
    except ConfigurationError:
        last = files.read_json(layout.snapshot)
        if not last:
            raise
        kept = {key: last[key] for key in _SETTLED if last.get(key) is not None}
        return merged(pillar, {configuration.PREFIX + layout.name: kept})


def redactor(minion: Minion, layout: Layout, settings: Mapping[str, Any]) -> Redactor:
    """Return what takes the secrets of a project's pillar and of its settings out of a text.

    :raises ConfigurationError: the pillar does not render
    """
    own: dict[str, Any] = {}
    if layout.own.is_dir():
        own = project_pillar(minion, layout, layout.pillar, layout.own / "pillar")
    made = Redactor(session.pillar_secrets(merged(minion.plain_pillar(), own), layout.name, own))
    made.learn(session.setting_secrets(settings) | registry.secret_texts(layout))
    return made


def _whole(minion: Minion, layout: Layout, settings: Mapping[str, Any]) -> dict[str, Any]:
    return configuration.assemble(
        layout,
        grains=minion.grains,
        pillar=_pillar(minion, layout),
        settings=settings,
        sample=session.sample(minion, layout, layout.salt),
        privileged=minion.privileged,
        with_installer=False,
    ).values


def remote(cfg: Mapping[str, Any], repository: Path) -> str:
    """Return what to ``git push`` to: over ssh where the project has a user of its own, else a path."""
    if os.geteuid() == 0 and cfg["user"] != "root":
        return f"{cfg['user']}@{cfg['domain'] or cfg['main_ip']}:{repository}"
    return str(repository)


def _make_ground(layout: Layout) -> None:
    """The folder that the lock lies in; everything else is a step."""
    for folder, mode in ((layout.roots.projects, 0o755), (layout.folder, 0o711), (layout.own, 0o700)):
        if not folder.exists():
            try:
                folder.mkdir(parents=True)
            except OSError as err:
                raise CorpusError(f"{folder} cannot be made: {err.strerror}.") from err
            folder.chmod(mode)


class _Steps:
    """The steps of one project, in order."""

    def __init__(self, minion: Minion, layout: Layout, cfg: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.minion, self.layout, self.cfg, self.settings = minion, layout, cfg, settings
        self.user: str | None = str(cfg["user"]) if minion.privileged else None
        self.group = str(cfg["group"])

    def all(self) -> Iterator[Step]:
        yield from self._accounts()
        yield from self._folders()
        yield Step(
            "settings",
            self._settings_differ,
            lambda: configuration.store_settings(self.layout, self.settings),
        )
        yield from self._keys()
        yield from self._repositories()
        yield from self._clones()
        yield from self._sls()
        yield from self._links()
        roots = self.layout.roots
        if systemd.possible() and supervision.of(roots).kind == "supervisord":
            yield Step("start at boot", lambda: boot.missing(roots), lambda: boot.enable(roots))

    def _settings_differ(self) -> bool:
        layout = self.layout
        return not layout.settings.exists() or configuration.stored_settings(layout) != dict(self.settings)

    # accounts

    def _accounts(self) -> Iterator[Step]:
        user, group = self.user, self.group
        if user is None or user == "root":
            return
        self._check_reachable()
        yield Step(
            f"group {group}",
            lambda: not _known("group", group),
            lambda: processes.run(["groupadd", "--system", "--", group]),
        )
        yield Step(f"user {user}", lambda: not _known("passwd", user), lambda: self._add_user(user))
        for further in self.cfg["groups"]:
            yield self._membership(user, further)

    @staticmethod
    def _membership(user: str, group: str) -> Step:
        return Step(
            f"{user} in group {group}",
            lambda: group not in _groups_of(user),
            lambda: processes.run(["usermod", "--append", "--groups", group, "--", user]),
        )

    def _check_reachable(self) -> None:
        """The project's user must be able to walk to its files."""
        for folder in self.layout.roots.projects.parents:
            if folder.exists() and not folder.stat().st_mode & 0o001:
                raise UsageError(
                    f"The project's user cannot reach {self.layout.roots.projects}, because {folder} is closed to others: "
                    "choose another corpus.projects_root, or set user=root."
                )

    def _add_user(self, user: str) -> None:
        shell = shutil.which("git-shell") or "/usr/sbin/nologin"
        processes.run(
            [
                "useradd",
                "--system",
                "--gid",
                self.group,
                "--home-dir",
                str(self.layout.home),
                "--no-create-home",
                "--shell",
                shell,
                "--password",
                "*",
                "--",
                user,
            ]
        )
        self.layout.made_user.touch()

    # folders

    def _folders(self) -> Iterator[Step]:
        layout = self.layout
        shared = [(layout.roots.own, 0o711), (layout.roots.own / "views", 0o711)]
        ours = [
            (layout.archives, 0o711),
            (layout.releases, 0o711),
            (layout.deployed, 0o711),
            (layout.failed, 0o711),
        ]
        ours += [(layout.deploy, 0o711), (layout.sls, 0o700)]
        theirs = [(layout.git, 0o755), (layout.project, 0o755), (layout.pillar, 0o700), (layout.home, 0o750)]
        theirs += [(layout.build, 0o755), (layout.logs, 0o750), (Path(self.cfg["data_root"]), 0o750)]
        for folder, mode in shared + ours:
            yield self._folder(folder, mode, _mkdir)
        for folder, mode in theirs:
            yield self._folder(folder, mode, self._mkdir_for_user)

    @staticmethod
    def _folder(folder: Path, mode: int, make: Callable[[Path, int], object]) -> Step:
        return Step(f"folder {folder}", lambda: not folder.is_dir(), lambda: make(folder, mode))

    def _mkdir_for_user(self, folder: Path, mode: int) -> None:
        _mkdir(folder, mode)
        own(folder, self.user, self.group)

    # keys

    def _keys(self) -> Iterator[Step]:
        ssh = self.layout.home / ".ssh"
        key = ssh / "id_ed25519"
        yield Step("folder for ssh keys", lambda: not ssh.is_dir(), lambda: self._mkdir_for_user(ssh, 0o700))
        yield Step(
            "ssh key pair",
            lambda: not key.is_file(),
            lambda: processes.run(
                [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    f"corpus-{self.layout.name}",
                    "-f",
                    key,
                ],
                user=self.user,
            ),
        )
        wanted = "".join(_authorized(line, "push-as", "authorized_keys") for line in self.cfg["authorized_keys"])
        wanted += "".join(_authorized(line, "deliver-as", "release_keys") for line in self.cfg["release_keys"])
        authorized = ssh / "authorized_keys"
        if wanted or authorized.exists():
            commands = self.layout.home / "git-shell-commands"
            take = hook.receive_release(self._call("receive_release"), self._sudo)
            yield self._folder(commands, 0o755, self._mkdir_for_user)
            yield self._file(commands / "push-as", hook.PUSH_AS, 0o755, "command that pushes under a key's name")
            yield self._file(
                commands / "deliver-as", hook.DELIVER_AS, 0o755, "command that delivers under a key's name"
            )
            yield self._file(commands / "receive-release", take, 0o755, "command that takes releases")
            yield self._file(authorized, wanted, 0o600, "authorized ssh keys")

    def _file(self, path: Path, content: str, mode: int, what: str) -> Step:
        return Step(what, lambda: _differs(path, content, mode), lambda: self._write(path, content, mode))

    def _write(self, path: Path, content: str, mode: int) -> None:
        processes.write(path, content, mode, self.user)

    # repositories

    def _repositories(self) -> Iterator[Step]:
        layout, cfg = self.layout, self.cfg
        yield from self._repository(layout.project_git, cfg["project_branch"], cfg["url"])
        yield from self._repository(layout.pillar_git, cfg["pillar_branch"], cfg["pillar_url"])
        yield from self._sudo_rule()

    def _repository(self, repository: Path, branch: str, url: str | None) -> Iterator[Step]:
        user = self.user
        yield Step(
            f"repository {repository}",
            lambda: repositories.unlike(repository, branch, user),
            lambda: repositories.init_bare(repository, branch, user),
        )
        if url and self.cfg["operation_mode"] != workflow.EDITABLE:
            yield Step(
                f"{branch} of {url} in {repository}",
                lambda: not repositories.head(repository, branch, user),
                lambda: repositories.fetch(repository, url, branch, user),
            )
        path = repository / "hooks" / "pre-receive"
        call = self._call("receive", repository.stem)
        text = hook.script(self.layout.name, repository.stem, call, self._sudo)
        yield Step(f"hook of {repository}", lambda: _differs(path, text, 0o755), lambda: self._write(path, text, 0o755))

    @property
    def _sudo(self) -> bool:
        return self.user is not None and self.user != "root"

    def _call(self, function: str, *arguments: str) -> list[str]:
        """The command by which a push or a release is handed over."""
        return self.minion.salt_call(f"mc_project.{function}", self.layout.name, *arguments)

    def _sudo_rule(self) -> Iterator[Step]:
        """Let the project's user hand over pushes and releases of its own project, and nothing else."""
        if not self._sudo:
            return
        path = sudo_rule(self.layout.name)
        allowed = [self._call("receive", "project"), self._call("receive", "pillar"), self._call("receive_release")]
        calls = ", ".join(map(_for_sudoers, allowed))
        rule = f"# Written by corpus: pushes to {self.layout.name} are deployed by root.\n"
        rule += f'Defaults:{self.user} env_keep += "{" ".join(hook.ORIGIN)}"\n'
        rule += f"{self.user} ALL=(root) NOPASSWD: {calls}\n"
        yield Step("sudo rule for pushes", lambda: _differs(path, rule, 0o440), lambda: _write_sudoers(path, rule))

    # trees

    def _clones(self) -> Iterator[Step]:
        layout, cfg = self.layout, self.cfg
        yield from self._tree(layout.project, layout.project_git, cfg["project_branch"], cfg["url"])
        yield from self._tree(layout.pillar, layout.pillar_git, cfg["pillar_branch"], cfg["pillar_url"])

    def _tree(self, tree: Path, repository: Path, branch: str, url: str | None) -> Iterator[Step]:
        editable = self.cfg["operation_mode"] == workflow.EDITABLE
        yield Step(
            f"clone {tree}",
            lambda: not (tree / ".git").is_dir(),
            lambda: self._clone(tree, repository, branch, url, editable),
        )
        yield Step(
            f"remotes of {tree}",
            # a clone is made with its remotes
            lambda: (tree / ".git").is_dir() and repositories.remotes_differ(tree, repository, url, self.user),
            lambda: repositories.set_remotes(tree, repository, url, self.user),
        )

    def _clone(self, tree: Path, repository: Path, branch: str, url: str | None, editable: bool) -> None:
        if editable and url:
            repositories.clone(url, tree, branch, self.user)
            repositories.set_remotes(tree, repository, url, self.user)
            return
        revision = None if editable else repositories.head(repository, branch, self.user)
        repositories.check_out(repository, tree, revision, branch=branch, url=url, user=self.user)

    def _sls(self) -> Iterator[Step]:
        for path, content in dot_salt.missing(self.layout.salt):
            yield self._sls_file(path, content)

    def _sls_file(self, path: Path, content: str) -> Step:
        return Step(
            str(path.relative_to(self.layout.folder)),
            lambda: not path.exists(),
            lambda: dot_salt.write(path, content, self.user, self.group),
        )

    def _links(self) -> Iterator[Step]:
        layout = self.layout
        yield self._link(layout.state_link, layout.salt)
        yield self._link(layout.pillar_link, layout.pillar)

    @staticmethod
    def _link(link: Path, target: Path) -> Step:
        def make() -> None:
            link.parent.mkdir(parents=True, exist_ok=True)
            files.link(link, target)

        return Step(f"link {link}", lambda: not (link.is_symlink() and os.readlink(link) == str(target)), make)


def sudo_rule(name: str) -> Path:
    """Return where the rule lies that lets a project's user hand over its pushes."""
    return Path("/etc/sudoers.d") / f"corpus-{name}"


def _authorized(line: object, command: str, key: str) -> str:
    """Return a line of ``authorized_keys``: one command only, under the name that the key's comment gives.

    :param command: of ``git-shell-commands``
    :param key: of the configuration, for a message
    """
    words = _public_key(line, key).split(" ", 2)
    name = re.sub(r"[^A-Za-z0-9@._-]", "_", words[2])[:80] if len(words) > 2 else words[1][-16:].replace("/", "_")
    return f'restrict,command="{command} {name}" {" ".join(words)}\n'


def _public_key(line: object, key: str) -> str:
    """Return an ssh public key as one line without options (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""
    words = str(line).split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")) or "\n" in str(line).strip():
        raise UsageError(f"{key}: {str(line)[:40]!r} is no public ssh key ('ssh-ed25519 AAAA… comment').")
    return " ".join(words)


def _mkdir(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)


def _differs(path: Path, content: str, mode: int) -> bool:
    try:
        return path.is_symlink() or path.read_text(encoding="utf-8") != content or (path.stat().st_mode & 0o777) != mode
    except (FileNotFoundError, UnicodeDecodeError):
        return True


def _known(database: str, name: str) -> bool:
    return processes.run(["getent", database, name], check=False).status == 0


def _groups_of(user: str) -> list[str]:
    import grp

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return []
    return [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(user, entry.pw_gid)]


def _for_sudoers(words: list[str]) -> str:
    """Spell a command for sudoers(5), where these signs mean something."""
    return " ".join("".join(f"\\{sign}" if sign in ",:=\\ " else sign for sign in word) for word in words)


def _write_sudoers(path: Path, rule: str) -> None:
    processes.which("sudo")
    processes.run([processes.which("visudo"), "-c", "-q", "-f", "-"], stdin=rule)
    files.write(path, rule, 0o440)
