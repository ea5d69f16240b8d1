"""Projects as their people ask about them: which there are, how one is, its configuration, its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from corpus import files, processes, secrets
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown
from corpus.project import (
    configuration,
    crontab,
    databases,
    environment,
    initialization,
    log_rotation,
    recovery,
    session,
)
from corpus.project.git import repositories
from corpus.project.keeping import history, lock, releases, signature, trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout, Roots
from corpus.project.minion import Minion, merged, project_pillar
from corpus.project.running import formation, front, logs, one_off, roster, supervision
from corpus.project.running.front import upkeep
from corpus.project.running.front.maintenance import PERSON
from corpus.project.telling.console import Console
from corpus.secrets import Redactor


def listing(roots: Roots) -> dict[str, dict[str, Any]]:
    """Return ``{name: {mode, release, revision, since, result}}`` of every project; ``result`` of its last deployment."""
    found = {}
    for name in roots.names():
        layout = Layout(roots, name)
        snapshot = files.read_json(layout.snapshot, {})
        running = layout.running()
        manifest = files.read_json(layout.manifest(running), {}) if running else {}
        last = history.listing(layout, 1)
        found[name] = {
            "mode": snapshot.get("operation_mode"),
            "api_version": snapshot.get("api_version"),
            "release": running,
            "revision": manifest.get("revision"),
            "since": manifest.get("when"),
            "last": {key: last[0][key] for key in ("deployment", "kind", "result", "when")} if last else None,
        }
    return found


def status(minion: Minion, name: str) -> dict[str, Any]:
    """Return how a project is: what runs, since when, its processes, its address, what holds it."""
    layout = Layout.existing(minion.roots, name)
    cfg = assembled(minion, layout).values
    running = layout.running()
    manifest = files.read_json(layout.manifest(running), {}) if running else {}
    supervisor = supervision.of(layout.roots)
    up = supervisor.processes(supervision.group_name(layout, running)) if running else []
    wanted = formation.specified(layout, running)["processes"] if running else {}
    web = front.Front(layout.roots, supervisor)
    serves = web.serves(layout, cfg) if running else None
    busy = lock.holder(layout)
    return {
        "name": name,
        "mode": cfg["operation_mode"],
        "installer": cfg["installer"],
        "release": running,
        "revision": manifest.get("revision"),
        "since": manifest.get("when"),
        "url": front.url(cfg) if serves else None,
        "serves": serves,
        "maintenance": web.closed(layout),
        "certificate": web.certificate(layout),
        "processes": {
            kind: next(
                (
                    {"state": process.state, "pid": process.pid, "is": process.words}
                    for process in up
                    if process.name == kind
                ),
                {"state": "MISSING", "pid": 0, "is": "not known to the supervisor"},
            )
            for kind in sorted(wanted)
        },
        "busy": busy,
        "interrupted": busy is None and Journal.left_behind(layout) is not None,
        "locked": files.read_json(layout.maintenance),
        "release_key": signature.public_key(Path(cfg["sign_with"])),
        "remotes": {
            "project": initialization.remote(cfg, layout.project_git),
            "pillar": initialization.remote(cfg, layout.pillar_git),
        },
    }


def ps(minion: Minion, name: str) -> list[dict[str, Any]]:
    """Return the processes of a project as they are now, see :func:`corpus.project.running.roster.roster`."""
    layout = Layout.existing(minion.roots, name)
    return roster.roster(supervision.of(layout.roots), layout)


def read_logs(
    minion: Minion, name: str, kind: str | None, lines: int, follow: Callable[[str], None] | None = None
) -> str:
    """Return what the processes of a project printed last, secrets taken out.

    :param kind: of one type alone; None: of all
    :param lines: of each type
    :param follow: gets these lines and all that come after, until we are interrupted; nothing is returned then
    :raises UsageError: there is no such type, or that is no number of lines
    """
    layout = Layout.existing(minion.roots, name)
    if isinstance(lines, bool) or not isinstance(lines, int) or not 0 <= lines <= 100_000:
        raise UsageError(f"lines must be a whole number from 0 to 100000, not {shown(lines)}.")
    running = layout.running()
    known = sorted(formation.specified(layout, running).get("commands", {})) if running else []
    chosen = logs.chosen(layout, known, kind)
    redactor = initialization.redactor(minion, layout, configuration.stored_settings(layout))
    last = [redactor.text(line) for line in logs.tail(chosen, lines)]
    if follow is None:
        return "\n".join(last)
    say = follow
    for line in last:
        say(line)
    with suppress(KeyboardInterrupt):
        logs.follow(chosen, lambda line: say(redactor.text(line)))
    return ""


def assembled(minion: Minion, layout: Layout, settings: Mapping[str, Any] | None = None) -> configuration.Configuration:
    """Assemble the configuration of the running tree."""
    scratch = layout.own / "pillar"
    pillar = merged(minion.plain_pillar(), project_pillar(minion, layout, layout.pillar, scratch))
    return configuration.assemble(
        layout,
        grains=minion.grains,
        pillar=pillar,
        settings=settings,
        sample=session.sample(minion, layout, layout.salt),
        privileged=minion.privileged,
    )


def get_configuration(minion: Minion, name: str, explain: bool = False, unmask: bool = False) -> dict[str, Any]:
    """Return the configuration, or for every key its value and where it came from; secrets masked unless ``unmask``."""
    layout = Layout.existing(minion.roots, name)
    made = assembled(minion, layout)
    told: dict[str, Any] = made.explained() if explain else made.values
    if unmask:
        return told
    redactor = initialization.redactor(minion, layout, configuration.stored_settings(layout))
    if explain:
        return {
            key: {
                **entry,
                "value": redactor.tree({key.rsplit(".", 1)[-1]: entry["value"]})[key.rsplit(".", 1)[-1]],
            }
            for key, entry in told.items()
        }
    return dict(redactor.tree(told))


def get_environment(minion: Minion, name: str, variable: str | None = None, unmask: bool = False) -> Any:
    """Return what the processes of a project get as ``env``, or one variable of it; values masked unless ``unmask``.

    :raises UsageError: there is no such variable
    """
    layout = Layout.existing(minion.roots, name)
    env = environment.told(assembled(minion, layout).values["env"], unmask)
    if variable is None:
        return env
    if variable not in env:
        raise UsageError(f"{name!r} has no variable {shown(variable)} (it has: {', '.join(env) or 'none'}).")
    return env[variable]


def set_configuration(
    minion: Minion, name: str, cfg: Mapping[str, Any] | None, settings: Mapping[str, Any], who: str
) -> dict[str, Any]:
    """Save settings: ``cfg`` replaces all that was set explicitly, ``settings`` are merged in; None unsets a key.

    :returns: ``{name, result, changes: {key: {old, new}}, comment}``
    :raises ConfigurationError: the configuration would not hold together; nothing was saved
    """
    layout = Layout.existing(minion.roots, name)
    with lock.held(layout, "configure", who):
        before = configuration.stored_settings(layout)
        start = configuration.checked_settings(cfg) if cfg is not None else before
        after = merged(start, configuration.checked_settings(settings))
        after = {key: value for key, value in after.items() if value is not None}
        made = assembled(minion, layout, after)
        changed = configuration.store_settings(layout, after)
        configuration.store_snapshot(layout, made.values, initialization.redactor(minion, layout, after))
    changes = {
        key: {"old": before.get(key), "new": after.get(key)}
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    }
    return {
        "name": name,
        "result": True,
        "changes": Redactor(session.setting_secrets(before) | session.setting_secrets(after)).tree(changes),
        "comment": "Saved; the next deployment uses it." if changed else "Nothing to change.",
    }


def maintenance(minion: Minion, name: str, on: bool | None, reason: str, who: str) -> dict[str, Any]:
    """Close a project for maintenance, or open it again; at once, and until the other is asked for.

    :param on: None only tells
    :returns: ``{name, result, changes, comment, maintenance}``
    """
    layout = Layout.existing(minion.roots, name)
    web = front.Front(layout.roots, supervision.of(layout.roots))
    changed = False
    if on:
        changed = web.close(layout, assembled(minion, layout).values, PERSON, who, reason)
    elif on is not None:
        cfg = assembled(minion, layout).values
        changed = web.open(layout, cfg, PERSON)
        if lock.holder(layout) is None:  # what a deployment closed and left so is opened, too
            changed = web.open(layout, cfg) or changed
    notes = web.closed(layout)
    words = f"{name} is {'closed for maintenance' if notes else 'open'}"
    if on is False and notes:
        words += f": the deployment under way wants it so ({', '.join(note['reason'] for note in notes.values())})"
    return {
        "name": name,
        "result": True,
        "changes": {"maintenance": {"old": not notes, "new": bool(notes)}} if changed else {},
        "comment": f"{words}.",
        "maintenance": notes,
    }


def renew_certificates(minion: Minion, name: str | None, force: bool) -> dict[str, Any]:
    """Serve the certificates that the configuration gives now, and renew those from an authority that are due.

    :param name: None: of all projects
    :param force: ask an authority that refused a moment ago again
    :returns: ``{name: {result, comment, certificate}}``; see :meth:`front.Front.certificate`
    """
    found = {}
    for one in [name] if name is not None else minion.roots.names():
        layout = Layout.existing(minion.roots, one)
        web = front.Front(layout.roots, supervision.of(layout.roots))
        try:
            given = web.install(layout, assembled(minion, layout).values)
            problem = upkeep.renew(web, layout, force)
        except CorpusError as err:
            given, problem = False, str(err)
        facts = web.certificate(layout)
        words = "A new certificate is served." if given else f"Valid until {facts['until']}." if facts else "No TLS."
        found[one] = {"result": not problem, "comment": problem or words, "certificate": facts}
    return found


def destroy(minion: Minion, name: str, confirm: str | None, who: str, keep_databases: bool = False) -> dict[str, Any]:
    """Remove a project: processes, site, folders, links, user. A last archive of its tree, data and repositories stays.

    :param confirm: the project's name again
    :param keep_databases: leave its databases where they are, without a last dump
    :raises UsageError: it is not
    :raises CorpusError: a database's server cannot be reached; nothing was touched
    """
    layout = Layout.existing(minion.roots, name)
    if confirm != name:
        raise UsageError(
            f"destroy_project removes {name!r} with all its data: say confirm={name}, not {shown(confirm)}."
        )
    with lock.held(layout, "destroy", who):
        cfg = initialization.settled(minion, layout, configuration.stored_settings(layout))
        recovery.repair(minion, layout, who)
        if not keep_databases:
            _reach_databases(layout)
        supervisor = supervision.of(layout.roots)
        supervision.stop_others(supervisor, layout, None)
        front.Front(layout.roots, supervisor).erase(layout)
        if minion.privileged:
            crontab.forget(layout)
            log_rotation.forget(layout)
        last = _last_archive(layout, Path(cfg["data_root"]))
        if not keep_databases:
            databases.dump_all(layout, last.with_name(f"{last.name}.databases"))
            databases.drop_all(layout)
        for link in (layout.state_link, layout.pillar_link):
            if link.is_symlink():
                link.unlink()
        data = Path(cfg["data_root"])
        if not data.is_relative_to(layout.folder):
            trees.remove(data)
        made_user = layout.made_user.exists()
        trees.remove(layout.view)
        trees.remove(layout.folder)
    if minion.privileged and cfg["user"] != "root":
        initialization.sudo_rule(name).unlink(missing_ok=True)
    if made_user:
        processes.run(["userdel", "--", cfg["user"]], check=False)
        processes.run(["groupdel", "--", cfg["group"]], check=False)
    return {
        "name": name,
        "result": True,
        "changes": {"removed": str(layout.folder)},
        "comment": f"{name} is gone. Its last archive is {last}.",
        "archive": str(last),
    }


def _reach_databases(layout: Layout) -> None:
    """See that the last dump will be possible, before anything of the project goes."""
    try:
        databases.reach_all(layout)
    except CorpusError as err:
        raise CorpusError(
            f"{err} Nothing was removed: its databases could be neither dumped nor dropped (keep_databases=True leaves them)."
        ) from err


def _last_archive(layout: Layout, data: Path) -> Path:
    """Pack tree, data, pillar, repositories and the sealed registry into one file that survives the project.

    The key of what is sealed lies beside it, so that the archive alone tells no secret.

    :raises CorpusError: it cannot be written; nothing is removed then
    """
    folder = layout.roots.own / "destroyed"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{layout.name}-{lock.now().replace(':', '')}.tar.gz"
    with files.private_umask():
        parts = [
            str(path.relative_to(layout.folder))
            for path in (layout.project, layout.pillar, layout.git, layout.registry)
            if path.exists()
        ]
        argv: list[str | Path] = ["tar", "-czf", target, "-C", layout.folder, *parts]
        if data.is_dir():
            argv += ["-C", data.parent, data.name]
        done = processes.run(argv, check=False)
    if done.status > 1:  # 1: a file changed while it was read
        target.unlink(missing_ok=True)
        raise CorpusError(f"The last archive cannot be written, nothing was removed: {done.last_words}")
    if layout.registry.exists():
        files.write(target.with_name(f"{target.name}.key"), layout.key.read_text(encoding="utf-8"), 0o600)
    return target


def run(minion: Minion, name: str, command: str, timeout: float | None) -> dict[str, Any]:
    """Run a one-off process in the running release, and show what it prints, without secrets, while it runs.

    :param command: a line for the shell
    :param timeout: seconds after which it is killed; None: it may take as long as it takes
    :returns: ``{name, result, status, output, comment}``
    :raises UsageError: nothing is deployed, or the command is empty
    """
    layout = Layout.existing(minion.roots, name)
    release = layout.running()
    if release is None:
        raise UsageError(f"Nothing of {name!r} is deployed yet: there is no release to run a command in.")
    if not str(command).strip() or "\0" in str(command):
        raise UsageError(f"{shown(command)} is no command: give a line for the shell, in quotes.")
    console = Console(None, minion.talks_to_a_terminal)
    console.redactor = initialization.redactor(minion, layout, configuration.stored_settings(layout))
    console.redactor.learn(secrets.found_in({"env": formation.specified(layout, release).get("env", {})}, {"env"}))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(console.redactor.text(line))
        console.line(line)

    status = one_off.run(layout, release, str(command), say, timeout)
    return {
        "name": name,
        "result": status == 0,
        "changes": {},
        "status": status,
        "output": "\n".join(said),
        "comment": f"{name} {release}: exit status {status}.",
    }


def list_releases(minion: Minion, name: str) -> list[dict[str, Any]]:
    """Return the kept releases, newest first."""
    return releases.listing(Layout.existing(minion.roots, name))


def difference(
    minion: Minion, name: str, revision: str | None, wanted: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return what is between what runs and a wish: ``{"revision": {old, new}, "configuration": {old, new}}``, or nothing.

    :param revision: branch, tag or commit; None: what the deploying branch names
    :param wanted: settings that must be saved
    :raises UsageError: there is no such revision
    """
    layout = Layout.existing(minion.roots, name)
    cfg = assembled(minion, layout).values
    user = cfg["user"] if minion.privileged else None
    running = layout.running()
    manifest = files.read_json(layout.manifest(running), {}) if running else {}
    new = repositories.revision(layout.project_git, revision or cfg["project_branch"], user)
    if new is None and not cfg["release_artifacts_urls"]:
        asked = shown(revision) if revision else f"branch {cfg['project_branch']}"
        raise UsageError(f"{layout.project_git} has no {asked}: push it first.")
    stored = configuration.stored_settings(layout)
    after = merged(stored, configuration.checked_settings(wanted or {}))
    found: dict[str, dict[str, Any]] = {}
    if after != stored:
        redactor = Redactor(session.setting_secrets(stored) | session.setting_secrets(after))
        found["configuration"] = {"old": redactor.tree(stored), "new": redactor.tree(after)}
    if running is None or manifest.get("revision") != new or found:
        found["revision"] = {"old": manifest.get("revision"), "new": new}
    return found
