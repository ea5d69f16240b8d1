"""What corpus itself does in the stages: the part that must be exact and undoable, and therefore is no sls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil

from corpus import files
from corpus.errors import ConfigurationError, CorpusError
from corpus.project import (
    acceptance,
    closure,
    commands,
    configuration,
    crontab,
    databases,
    dot_salt,
    found,
    initialization,
    log_rotation,
    system_packages,
    takeover,
    upgrades,
    workflow,
)
from corpus.project.found import procfile
from corpus.project.git import repositories
from corpus.project.keeping import archives, artifacts, bundles, persistent, registry, releases, signature, trees
from corpus.project.keeping import manifest as manifests
from corpus.project.keeping.journal import Journal
from corpus.project.keeping.manifest import SBOM
from corpus.project.keeping.signature import Trust
from corpus.project.running import formation, one_off, supervision
from corpus.project.session import Request, Session, undisturbed
from corpus.project.takeover import Takeover
from corpus.project.telling import notifications
from corpus.project.telling.report import StageReport


def prepare_editable(session: Session, request: Request) -> None:
    """Bring a developer's tree up to its origin when that loses nothing, and assemble the configuration from it."""
    layout = session.layout
    settings = {**configuration.stored_settings(layout), **request.settings}
    before = initialization.settled(session.minion, layout, settings)
    user = before["user"] if session.minion.privileged else None
    if request.follow_origin and not session.test:
        why = repositories.follow_origin(layout.project, before["project_branch"], user)
        session.console.line(f"project/ is left as it is: {why}" if why else "project/ follows its origin")
        repositories.follow_origin(layout.pillar, before["pillar_branch"], user)
    if not session.test:
        dot_salt.complete(layout.salt, user, before["group"])
    session.report.revision = repositories.revision(layout.project, "HEAD", user)
    configure(session, layout.project, layout.pillar, request.settings)


def recognize(session: Session) -> None:
    """Say which installer was chosen for the tree, and why; nothing when somebody named one.

    :raises ConfigurationError: nothing in the tree can be recognized
    """
    cfg, seen = session.cfg, session.found
    if not session.looked:
        return
    if seen is None and not cfg["processes"] and not cfg["document_root"]:
        raise ConfigurationError(
            "There is nothing in the tree by which corpus could tell how to deploy it. It looked for "
            f"{found.LOOKED_FOR}. Add one of them (a Procfile says what runs), or set the key installer."
        )
    before = files.read_json(session.layout.snapshot, {}).get("installer") if session.layout.running() else None
    changed = f"; it was {before} before" if before and before != cfg["installer"] else ""
    why = f"because of {seen.why}" if seen else "because the configuration says what to serve"
    session.console.line(f"auto: {cfg['installer']}, {why}{changed}")


def configure(session: Session, tree: Path, pillar: Path, settings: Mapping[str, Any]) -> None:
    """Assemble the configuration of a tree that is deployed, and make the secrets that it wants and that are not there yet.

    :raises ConfigurationError: something in it cannot be
    """
    session.configure(tree, pillar, settings)
    if keep_secrets(session):
        session.configure(tree, pillar, settings)


def say_notes(session: Session) -> None:
    """Say what of the tree's own declarations does not apply here."""
    for note in session.declared.notes:
        session.console.line(note)
        session.report.notes.append(note)


def keep_secrets(session: Session) -> bool:
    """Make a value for each variable that wants a secret and has none, and keep it for good; return whether any was made."""
    cfg = session.cfg
    wanted = [str(name) for name in cfg["secret_env"] if not cfg["env"].get(name)]
    if not wanted or session.test:
        return False
    with registry.changing(session.layout) as held:
        for name in wanted:
            held.setdefault("env", {}).setdefault(name, token_hex(32))
    session.console.line(f"made a secret for {', '.join(wanted)}")
    return True


def run_script(session: Session, name: str, command: str | None) -> str:
    """Run a one-off process of the release that is deployed, and show what it prints.

    :param name: of what is run, for a person
    :param command: a line for the shell; None: there is nothing to run
    :returns: words for the report
    :raises CorpusError: it failed
    """
    if not command:
        return ""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        session.console.line(line)

    release = Path(session.cfg["current_release_dir"]).name
    status = one_off.run(session.layout, release, command, say, float(session.cfg["timeout"]))
    if status:
        raise CorpusError(f"The {name} process failed (exit status {status}): {commands.telling(chr(10).join(said))}")
    return f"{name} ran"


def archive(session: Session, release: str, report: StageReport, content: bool = True) -> str:
    """Keep a copy of what runs, before anything is touched; without ``content``, of its data alone: the exchange keeps the tree."""
    layout, cfg = session.layout, session.cfg

    def enlarge(missing: int) -> bool:
        """Asked for only when space is short: Salt loads all its modules before it says that there is no such function."""
        function = session.minion.functions.get(cfg["enlarge_function"]) if cfg["enlarge_function"] else None
        return bool(function and function(layout.name, missing))

    archives.rotate(layout, cfg["keep_archives"], spare={release})
    archives.ensure_space(layout, cfg, enlarge, content)
    folder, how = archives.make(layout, release, cfg, content)
    cfg["current_archive_dir"] = str(folder)
    dumped = databases.dump_all(layout, folder / "databases") if cfg["archive_data"] else []
    ways = {
        "reflink": "blocks shared",
        "links": "unchanged files shared with the archive before",
        "copy": "copied",
        "moved": "its data copied; its tree stays whole",
    }
    return "; ".join([f"{release} kept ({ways[how]})", *(f"{name} dumped" for name in dumped)])


def release_sync(session: Session, tree: Path, reconfigure: Callable[[], None], report: StageReport) -> str:
    """Fetch the release's artifacts, verify and unpack them, and make the new tree exactly that."""
    layout, cfg = session.layout, session.cfg
    entries = cfg["release_artifacts_urls"]
    if not entries:
        return "no release_artifacts_urls: the pushed tree is the release"
    folder = layout.release(session.id) / "artifacts"
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    did: list[str] = []

    def accept(manifest: Mapping[str, Any]) -> None:
        did.append(acceptance.check(session.minion, layout, cfg, manifest))

    fetched = artifacts.fetch(entries, folder, session.user, Trust.configured(cfg), accept)
    trees.wipe(layout.deploy)
    for path in fetched:
        bundles.unpack(path, layout.deploy)
        manifests.verify(layout.deploy, artifacts.manifest_of(path))
    trees.make_identical(layout.deploy, tree, keep=(".git",))
    takeover.own_all(tree, session.user, cfg["group"])
    tree.chmod(0o755)
    reconfigure()
    signers = {who for path in fetched if (who := artifacts.signer_of(path))}
    words = [f"{', '.join(path.name for path in fetched)} verified and unpacked"]
    words += [f"signed by {who}" for who in sorted(signers)]
    return "; ".join([*words, *filter(None, did)])


def wipe_build(session: Session, report: StageReport) -> str:
    """Empty the scratch folder of the build."""
    trees.wipe(session.layout.build)
    takeover.own(session.layout.build, session.user, session.cfg["group"])
    return ""


def upgrade(session: Session, salt_root: Path, journal: Journal, report: StageReport, asked: str | None = None) -> str:
    """Run the upgrade steps that were not done yet, each once, and the ``release`` process of the Procfile every time."""
    layout = session.layout
    steps = upgrades.to_do(layout, salt_root, asked)
    for step in steps:
        journal.record("upgrade", step_name=step)
        session.sls(f"{upgrades.FOLDER}.{step}", report)
        upgrades.mark(layout, salt_root, step, session.id)
    words = [f"steps done: {', '.join(steps)}" if steps else ""]
    if asked is None:
        words.append(run_script(session, procfile.RELEASE, session.cfg["processes"].get(procfile.RELEASE)))
    return "; ".join(word for word in words if word)


def check_registrations(session: Session, report: StageReport) -> str:
    """Check what will be registered with the machine's own services once the new version is the one."""
    jobs, logs = crontab.entries(session.cfg), log_rotation.patterns(session.cfg)
    words = [f"{len(jobs)} commands by the clock" if jobs else "", f"{len(logs)} logs to rotate" if logs else ""]
    return ", ".join(word for word in words if word)


def register(session: Session) -> None:
    """Register what the version that runs now wants of cron and logrotate; what cannot be is said in the report."""
    layout, cfg, privileged = session.layout, session.cfg, session.minion.privileged
    call = session.minion.salt_call("mc_project.run", layout.name, "--no-parse=command")
    said = [crontab.register(layout, cfg, call, privileged), log_rotation.register(layout, cfg, privileged)]
    session.report.notes += [words for words in said if words]


def before_configure(session: Session, report: StageReport) -> str:
    """Bring what the application needs from outside of its tree: system packages, databases."""
    words = [install_packages(session, report)]
    words += databases.ensure_all(session.layout, session.cfg, session.user, session.test)
    session.cfg["env"] = {**registry.environment(session.layout), **session.cfg["env"]}
    session.learn_registry()
    return "; ".join(word for word in words if word)


def install_packages(session: Session, report: StageReport) -> str:
    """See that the packages of the system which the project names are installed."""
    names = system_packages.configured(session.cfg, session.minion.grains)
    return system_packages.ensure(session.minion, names, session.cfg["system_packages_install"])


def fill_deploy(session: Session, report: StageReport) -> str:
    """Bring ``deploy/`` in line with the new tree, and add what production renders sls with; the stage's sls may add to it."""
    layout, cfg = session.layout, session.cfg
    whole = trees.size(layout.project)
    missing = max(whole - trees.size(layout.deploy), 0)
    archives.ensure_room(layout, cfg, missing + whole, "a release and its archive")
    trees.mirror(layout.project, layout.deploy, without=(".git",))
    told = session.found.values if session.found else found.values(layout.project, cfg["installer"])
    closure.enclose(layout.deploy / ".salt", session.installer, cfg, told)
    persistent.unlink(layout.deploy, Path(session.cfg["data_root"]))
    return ""


def bundle(session: Session, report: StageReport) -> str:
    """Pack ``deploy/`` into the release, list what it consists of, and sign it."""
    from corpus.project.keeping import sbom  # what it imports would make every call wait

    layout, cfg, minion = session.layout, session.cfg, session.minion
    release = Path(cfg["current_release_dir"]).name
    when = 0
    if session.report.revision:
        when = repositories.commit_time(layout.project_git, session.report.revision, session.user, session.borrowed)
    folder = layout.release(release)
    folder.mkdir(mode=0o711, exist_ok=True)
    types = formation.types(cfg)
    packages = {
        **dict.fromkeys(system_packages.configured(cfg, minion.grains), ""),
        **system_packages.needed(layout.deploy, bundles.links_out(layout.deploy), map(str, types.values())),
    }
    packages.update(system_packages.versions(name for name, version in packages.items() if not version))
    system = acceptance.machine(minion, packages, system_packages.native(layout.deploy))
    version = session.report.revision or release
    bill = sbom.written(layout.deploy, layout.name, version, packages, str(system["os"]), when)
    files.write(folder / SBOM, bill, 0o600)
    made = closure.within(layout.deploy / ".salt")
    about = {
        **facts(session),
        "installer": cfg["installer"],
        "pack": made.pack if made else None,
        "system": system,
        "sbom": {"name": SBOM, "sha256": trees.sha256(folder / SBOM)},
    }
    manifest = bundles.pack(layout, release, cfg, about, when)
    key = Path(cfg["sign_with"])
    if key.parent == layout.own:
        signature.make_key(key, f"corpus-{layout.name}")
    signature.sign(layout.manifest(release), key)
    (name, artifact), *_ = manifest["artifacts"].items()
    bound = "" if manifest["relocatable"] else f", bound to {layout.project}"
    return f"{name} ({artifact['size'] / 1e6:.1f} MB, {len(manifest['files'])} files{bound}), signed"


def facts(session: Session) -> dict[str, Any]:
    """What a manifest says of where a release comes from."""
    report = session.report
    return {
        "revision": report.revision,
        "who": report.who,
        "when": report.when,
        "deployment": report.deployment,
    }


def awaited(session: Session, request: Request) -> dict[str, tuple[str, str]]:
    """Return what git has yet to accept: ``{repository: (branch, revision)}`` of the push that is under way."""
    waits = {}
    if request.project_env and request.revision:
        waits["project"] = (str(session.cfg["project_branch"]), request.revision)
    if request.pillar_env and request.pillar_revision:
        waits["pillar"] = (str(session.cfg["pillar_branch"]), request.pillar_revision)
    return waits


def check_pusher(request: Request) -> None:
    """Raise when git waits no more for the push that is under way: whoever pushed is gone.

    :raises CorpusError: git has thrown away what it received, and will not move the branch
    """
    for quarantine in (*request.project_env.values(), *request.pillar_env.values()):
        if not (Path(quarantine).is_dir() and _called_by_git()):
            raise CorpusError("Whoever pushed is gone, and git will not move the branch: nothing may stay deployed.")


def _called_by_git() -> bool:
    """Tell whether git's receiving end is still among the processes that wait for us; killed, it is not."""
    for ancestor in psutil.Process().parents():
        with suppress(psutil.Error):
            if any("receive-pack" in word for word in ancestor.cmdline()[:2]):
                return True
    return False


def settle(session: Session, over: Takeover) -> None:
    """After the commit: the new release is current, what is too old goes, the configuration is kept."""
    layout, cfg = session.layout, session.cfg
    undisturbed()
    over.finish()
    names_what_runs = cfg["operation_mode"] != workflow.EDITABLE and session.report.kind != workflow.SHORT
    if session.report.revision and not session.borrowed and names_what_runs:
        repositories.set_branch(layout.project_git, cfg["project_branch"], session.report.revision, session.user)
    configuration.store_snapshot(layout, cfg, session.console.redactor)
    register(session)
    releases.rotate(layout, cfg)
    archives.rotate(layout, cfg["keep_archives"], spare=set())
    kept = {entry["release"]: entry["revision"] for entry in releases.listing(layout) if entry["revision"]}
    repositories.keep(layout.project_git, kept, session.user)


def roll_back(session: Session, over: Takeover, in_place: bool) -> None:
    """After a failure: what ran before runs again, the failed tree is put aside, the rollback sls runs.

    :raises CorpusError: something of it did not work; the journal stays, and the next call tries again
    """
    layout, journal = session.layout, over.journal
    undisturbed()
    journal.free_reserve()
    journal.record("rollback")
    session.dismiss_worker()
    if in_place:
        over.undo()
        trees.remove(layout.release(over.new))
        journal.record("undone")
        session.skip(workflow.ROLLBACK, "not in editable mode: your tree is left as it is")
        return
    with session.stage(workflow.ROLLBACK.name) as report:
        words = over.undo()
        words.append(f"the failed tree is in {over.fail_away(session.log)}")
        journal.record("undone")
        run_hook(session, over.old, report)
        if over.problems:
            raise CorpusError(" ".join(over.problems))
        if over.old:
            if not supervision.running(over.supervisor, layout, over.old):
                raise CorpusError(f"The processes of {over.old} do not run: see {layout.logs}.")
            words.append(f"{over.old} runs")
        if session.cfg:
            releases.rotate(layout, session.cfg)
        report.comment = "; ".join(words)


def take_back(session: Session, over: Takeover) -> None:
    """After a failed change of the environment: what ran before runs, with the settings from before.

    The copied tree holds nothing that anybody would look at, and the rollback sls has nothing to undo: no build and no
    upgrade was run.

    :raises CorpusError: something of it did not work; the journal stays, and the next call tries again
    """
    undisturbed()
    over.journal.free_reserve()
    over.journal.record("rollback")
    session.dismiss_worker()
    with session.stage(workflow.ROLLBACK.name) as report:
        words = over.undo()
        over.discard()
        over.journal.record("undone")
        if over.problems:
            raise CorpusError(" ".join(over.problems))
        report.comment = "; ".join(words)


def run_hook(session: Session, release: str | None, report: StageReport) -> None:
    """Run the rollback sls of the release that came back (a database reload, say), when there is one to go back to."""
    cfg, layout = session.cfg, session.layout
    there = (layout.salt / f"{workflow.ROLLBACK.sls}.sls").exists()
    if cfg and release is not None and there and workflow.runs(workflow.ROLLBACK, cfg):
        cfg["rollback"] = True
        session.wire_standing(release)
        session.sls(workflow.ROLLBACK.sls, report)


def notify(session: Session) -> None:
    """Tell the result by every configured method; a message that cannot be sent changes nothing of the result."""
    cfg, report = session.cfg, session.report
    if not cfg or not workflow.runs(workflow.NOTIFY, cfg):
        return
    cfg["deployment"] = {
        **cfg.get("deployment", {}),
        "result": report.result,
        "comment": session.console.redactor.text(report.comment),
        "stages": {stage.stage: stage.result for stage in report.stages},
    }
    try:
        with session.stage(workflow.NOTIFY.name) as stage:
            problems = []
            try:
                _run_notification(session, stage)
            except CorpusError as err:  # is no reason not to tell those who wait for a message
                problems.append(str(err))
            problems += notifications.send(cfg, report, session.console.redactor)
            if problems:
                raise CorpusError("; ".join(problems))
    except CorpusError:
        pass  # reported as a failed stage already


def _run_notification(session: Session, stage: StageReport) -> None:
    """Run the notification sls of what runs now."""
    layout, report = session.layout, session.report
    if not (layout.salt / f"{workflow.NOTIFY.sls}.sls").exists():
        return
    if report.result is False:  # the worker may see a tree that is gone
        session.dismiss_worker()
    if report.result is False or report.kind == "rollback":
        session.wire_standing(report.release)
    session.sls(workflow.NOTIFY.sls, stage)
