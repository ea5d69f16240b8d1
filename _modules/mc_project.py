"""
Projects
========

Deploys web applications that are pushed with git: ``init_project`` makes a project ready, every ``git push`` to it
deploys, and everything here looks at it, repeats it, or takes it back.

Each function is served by the module for the project's API version, ``mc_project_<N>``. An explicit ``api_version=``
beats the version saved for the project, which beats the default. Any such module that Salt can load counts.

On a terminal, reports are a line for each stage; ``--out json`` has everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import translated
from corpus.project import versions
from corpus.project.layout import Roots

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_project"

_REPORTS = (
    "init_project deploy_project watch plan set_configuration env_set env_unset archive release_sync configure build reconfigure "
    "activate upgrade bundle promote verify_release post_install notify rollback list_releases history log run "
    "report stats destroy_project ps scale restart logs"
)
__outputter__ = dict.fromkeys(_REPORTS.split(), "mc_project")


def __virtual__():
    return __virtualname__


def _call(function: str, name: str | None, asked: int | None, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the module that serves a project."""
    with translated():
        version = versions.serving(__salt__, Roots.configured(__opts__), name, asked)
    arguments = args if name is None else (name, *args)
    return __salt__[f"mc_project_{version}.{function}"](*arguments, **kwargs)


def init_project(name: str, api_version: int | None = None, test: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    Make a project ready to be pushed to: user, keys, folders, repositories, hooks, generated sls, links.

    Doing it again changes nothing. What it returns names the remotes to push to.

    name
        The project's name: 1 to 31 lower-case letters, digits, ``-`` or ``_``, starting with a letter.

    api_version
        Version of the project API; saved with the project.

    test
        Tell what would be done, and do nothing.

    kwargs
        Configuration keys to save: ``installer``, ``operation_mode``, ``domain``, ``url`` …

    Returns: ``{name, result, changes, comment, remotes: {project, pillar}}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.init_project shop installer=python domain=shop.example.org
    """
    if api_version is not None:
        kwargs["api_version"] = api_version
    return _call("init_project", name, api_version, test=test, **kwargs)


def deploy_project(name: str, api_version: int | None = None, test: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    Deploy what the project's branch names, through every stage, or leave everything as it was.

    name
        The project's name.

    api_version
        Serve the call by this version.

    test
        The same as :py:func:`plan`.

    kwargs
        ``revision``: branch, tag or commit to deploy instead; ``wait``: seconds to wait for another deployment; ``who``:
        asked for it, when a controller calls in a person's name; anything else is configuration for this deployment alone.

    Returns: A state-like mapping ``{name, result, changes, comment, stages, deployment}``; the exit status tells, too.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.deploy_project shop wait=60
    """
    return _call("deploy_project", name, api_version, test=test, **kwargs)


def watch(name: str, first: bool = True, api_version: int | None = None) -> dict[str, Any]:
    """
    Deploy what a developer saves, by the stages that the file concerns, until Ctrl-C. For editable mode.

    Which files concern which stages says the key ``watch``; what git ignores is ignored. A deployment that fails is
    told and ends nothing: what it did not do is done with the next change.

    name
        The project's name.

    first
        Deploy everything once at the beginning.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, changes, comment}``, at the end.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.watch shop
    """
    return _call("watch", name, api_version, first)


def plan(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Tell what a deployment would change, stage by stage, and change nothing.

    States that cannot tell (a command, say) are listed as ``unknown``.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        As in :py:func:`deploy_project`.

    Returns: A report whose ``result`` is False when the deployment would fail; ``None`` in its states: would change.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.plan shop
    """
    return _call("plan", name, api_version, **kwargs)


def receive(name: str, repository: str, api_version: int | None = None) -> dict[str, Any]:
    """
    Take a push from a repository's hook and deploy it while it waits. For hooks, not for people.

    name
        The project's name.

    repository
        ``project`` or ``pillar``.

    api_version
        Serve the call by this version.

    Returns: A report; with ``result`` False git refuses the push. The push itself comes on standard input.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.receive shop project < updates
    """
    return _call("receive", name, api_version, repository)


def receive_release(name: str, api_version: int | None = None) -> dict[str, Any]:
    """
    Take a release that another machine hands over, and deploy it. For the command that ssh runs, not for people.

    name
        The project's name; it is in final mode.

    api_version
        Serve the call by this version.

    Returns: A report; the release itself comes on standard input, see :py:func:`promote`.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.receive_release shop < release
    """
    return _call("receive_release", name, api_version)


def promote(
    name: str,
    release: str | None = None,
    to: str | None = None,
    deploy: bool = True,
    wait: float = 0,
    api_version: int | None = None,
) -> dict[str, Any]:
    """
    Hand a release of staging to production and have it deployed there, or put it where it can be fetched from.

    Over ssh the other side verifies the signature before anything else is sent; what was cut short goes on where it
    stopped; the stages of the deployment there are shown while they go.

    name
        The project's name.

    release
        Id of the release; not set: the newest that was bundled.

    to
        ``user@host[:port]`` or ``ssh://user@host[:port]``: the user of the project in production, whose
        ``release_keys`` (or ``authorized_keys``) has this project's key; ``file:///folder`` and ``https://…`` (by PUT):
        the release is put there, in a folder of its id.

    deploy
        False: it is only kept there.

    wait
        Seconds that it may wait there for another deployment.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, changes, comment, url}``; it fails when the deployment there did.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.promote shop to=shop@www.example.org
    """
    return _call("promote", name, api_version, release, to, deploy, wait)


def verify_release(
    name: str, release: str | None = None, url: str | None = None, api_version: int | None = None
) -> dict[str, Any]:
    """
    Check sums and signature of a release, and of the one that runs also every file of the tree.

    name
        The project's name.

    release
        Id of the release; not set: the one that runs.

    url
        Of an archive instead, as in ``release_artifacts_urls``.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, comment, checks: [{what, result, comment}]}``; the exit status tells, too.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.verify_release shop url=https://releases.example.org/shop/shop-1.tar.zst
    """
    return _call("verify_release", name, api_version, release, url)


def difference(
    name: str,
    revision: str | None = None,
    configuration: dict[str, Any] | None = None,
    api_version: int | None = None,
) -> dict[str, Any]:
    """
    Return what is between what runs and a wish; the state ``mc_project.deployed`` asks this.

    name
        The project's name.

    revision
        Branch, tag or commit; not set: what the deploying branch names.

    configuration
        Settings that must be saved.

    api_version
        Serve the call by this version.

    Returns: ``{revision: {old, new}, configuration: {old, new}}``; empty when everything is as wished.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.difference shop revision=v1.4.2
    """
    return _call("difference", name, api_version, revision, configuration)


def get_configuration(
    name: str, explain: bool = False, unmask: bool = False, api_version: int | None = None
) -> dict[str, Any]:
    """
    Return the project's configuration mapping, as its sls see it.

    name
        The project's name.

    explain
        Return for every key its value and where that came from.

    unmask
        Show secrets in the clear.

    api_version
        Serve the call by this version.

    Returns: ``{key: value}``, or ``{dotted key: {value, from}}``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.get_configuration shop explain=True
    """
    return _call("get_configuration", name, api_version, explain, unmask)


def set_configuration(
    name: str, cfg: dict[str, Any] | None = None, api_version: int | None = None, **kwargs: Any
) -> dict[str, Any]:
    """
    Save settings of a project; the next deployment uses them.

    name
        The project's name.

    cfg
        Replaces all that was set explicitly before.

    api_version
        Serve the call by this version.

    kwargs
        Keys to set; mappings are merged, ``None`` unsets a key.

    Returns: ``{name, result, changes: {key: {old, new}}, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.set_configuration shop domain=shop.example.org data='{theme: dark}'
    """
    return _call("set_configuration", name, api_version, cfg, **kwargs)


def env_set(
    name: str,
    from_file: str | None = None,
    key: str | None = None,
    deploy: bool = True,
    wait: float = 0,
    test: bool = False,
    sealed: str | None = None,
    who: str | None = None,
    api_version: int | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Set environment variables of the project's processes, and let the processes have them.

    A short deployment does that: the tree stays as it was built, ``configure``, ``reconfigure`` and ``activate`` run, the
    new processes prove themselves beside the old ones, and then take over. It is a release that can be rolled back.

    name
        The project's name.

    from_file
        A file of ``NAME=value`` lines (``.env``); ``-`` is standard input. What stands there is in no command line.

    key
        The whole content of ``from_file`` is the value of this one variable, but for a line feed at its end.

    deploy
        Without, the next deployment brings them.

    wait
        Seconds to wait for another deployment.

    test
        Tell what would change and which processes would start anew, and change nothing.

    sealed
        Variables that the controller sealed for this minion: nobody else can read them on their way.

    who
        Asked for it, when a controller calls in a person's name.

    api_version
        Serve the call by this version.

    kwargs
        Variables: ``NAME=value``. Use ``from_file`` for secrets: other users see command lines.

    Returns: ``{name, result, changes: {env: {NAME: {old, new}}}, comment}``, values masked; the report when something
    was deployed.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.env_set shop LOG_LEVEL=debug
        salt-call --local mc_project.env_set shop from_file=- < shop.env
        salt-call --local mc_project.env_set shop key=TLS_KEY from_file=/root/tls.key
    """
    keywords = {"from_file": from_file, "key": key, "deploy": deploy, "wait": wait, "test": test}
    keywords |= {"sealed": sealed, "who": who}
    return _call("env_set", name, api_version, **keywords, **kwargs)


def env_unset(
    name: str,
    *args: str,
    deploy: bool = True,
    wait: float = 0,
    test: bool = False,
    who: str | None = None,
    api_version: int | None = None,
) -> dict[str, Any]:
    """
    Take back environment variables that :py:func:`env_set` set, as a short deployment.

    name
        The project's name.

    args
        Names of variables.

    deploy, wait, test, who
        As in :py:func:`env_set`.

    api_version
        Serve the call by this version.

    Returns: As :py:func:`env_set`.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.env_unset shop SMTP_PASSWORD SMTP_HOST
    """
    return _call("env_unset", name, api_version, *args, deploy=deploy, wait=wait, test=test, who=who)


def env_get(name: str, key: str | None = None, unmask: bool = False, api_version: int | None = None) -> Any:
    """
    Return the environment variables of the project's processes, from all layers of its configuration.

    name
        The project's name.

    key
        One variable.

    unmask
        Show the values.

    api_version
        Serve the call by this version.

    Returns: ``{NAME: value}``, or the value of ``key``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.env_get shop SMTP_HOST unmask=True
    """
    return _call("env_get", name, api_version, key, unmask)


def archive(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the archive stage: keep a copy of what runs, content and data.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.archive shop
    """
    return _call("archive", name, api_version, **kwargs)


def release_sync(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the release_sync stage: fetch, verify and unpack ``release_artifacts_urls``.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.release_sync shop
    """
    return _call("release_sync", name, api_version, **kwargs)


def configure(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the configure stage.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.configure shop
    """
    return _call("configure", name, api_version, **kwargs)


def build(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the build stage, in an emptied ``build/``.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.build shop
    """
    return _call("build", name, api_version, **kwargs)


def reconfigure(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the reconfigure stage.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.reconfigure shop
    """
    return _call("reconfigure", name, api_version, **kwargs)


def activate(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the activate stage: start the running release's processes again, with the configuration of now.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.activate shop
    """
    return _call("activate", name, api_version, **kwargs)


def upgrade(name: str, step: str | None = None, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the upgrade stage: the steps ``.salt/upgrades/<step>.sls`` that were not done yet, in order.

    name
        The project's name.

    step
        Run this step alone; it fails when the step was done already.

    api_version
        Serve the call by this version.

    kwargs
        As in :py:func:`archive`.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.upgrade shop step=0001-fill-slugs
    """
    return _call("upgrade", name, api_version, step, **kwargs)


def forget_upgrade(name: str, step: str, api_version: int | None = None) -> bool:
    """
    Forget that an upgrade step was done, so that it is run again.

    name
        The project's name.

    step
        Its name.

    api_version
        Serve the call by this version.

    Returns: Whether it had been done.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.forget_upgrade shop 0001-fill-slugs
    """
    return _call("forget_upgrade", name, api_version, step)


def bundle(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the bundle stage: pack the running tree into its release.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.bundle shop
    """
    return _call("bundle", name, api_version, **kwargs)


def post_install(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the post_install stage.

    Works on the running tree, whatever the project's mode says; nothing is rolled back when it fails.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for another deployment; anything else is configuration for this run alone.

    Returns: The report of this stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.post_install shop
    """
    return _call("post_install", name, api_version, **kwargs)


def notify(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Send the result of the last deployment again, by every configured method.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        Configuration for this call alone.

    Returns: The report that was sent.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.notify shop
    """
    return _call("notify", name, api_version, **kwargs)


def rollback(name: str, release: str | None = None, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Go back to a kept release: its processes prove themselves, then the trees change places in one step.

    name
        The project's name.

    release
        Id of the release; not set: the one that ran before.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for a deployment; ``who``: asked for it; anything else is configuration for this run alone.

    Returns: The report.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.rollback shop release=20260131T120000Z-1a2b3c4d
    """
    return _call("rollback", name, api_version, release, **kwargs)


def list_projects(api_version: int | None = None) -> dict[str, Any]:
    """
    Return the projects of this machine.

    api_version
        Serve the call by this version.

    Returns: ``{name: {mode, api_version, release, revision, since, last}}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.list_projects
    """
    return _call("list_projects", None, api_version)


def status(name: str, api_version: int | None = None) -> dict[str, Any]:
    """
    Return how a project is: what runs, since when, its processes, its address, what holds or locks it.

    name
        The project's name.

    api_version
        Serve the call by this version.

    Returns: A mapping.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.status shop
    """
    return _call("status", name, api_version)


def run(name: str, command: str, timeout: float | None = None, api_version: int | None = None) -> dict[str, Any]:
    """
    Run a one-off process in the running release: in its tree, with its environment, as its user.

    What it prints is shown while it runs, without secrets, and returned. It ends when this call is killed.

    name
        The project's name.

    command
        A line for the shell.

    timeout
        Seconds after which it is killed; not set: it may take as long as it takes.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, status, output, comment}``; the exit status of the process is passed on as retcode.

    CLI Example:

    .. code-block:: bash

        salt-call --local --retcode-passthrough mc_project.run shop 'python manage.py check'
    """
    return _call("run", name, api_version, command, timeout)


def ps(name: str, api_version: int | None = None) -> list[dict[str, Any]]:
    """
    Return the processes of a project as they are now.

    name
        The project's name.

    api_version
        Serve the call by this version.

    Returns: A list of ``{type, number, state, pid, since, memory, cpu, port, release, words}``: ``memory`` in bytes,
    ``cpu`` in percent of one processor since the start, both with all children.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.ps shop
    """
    return _call("ps", name, api_version)


def scale(name: str, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run that many processes of a type, now and in later releases. No request is lost: new web processes are well before
    they get any, old ones finish theirs.

    name
        The project's name.

    api_version
        Serve the call by this version.

    kwargs
        ``web=3``: a process type and how many of it, as many pairs as you like; ``wait``: seconds to wait for a
        deployment; ``who``: asked for it.

    Returns: The report.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.scale shop web=3 worker=1
    """
    return _call("scale", name, api_version, **kwargs)


def restart(name: str, type: str | None = None, api_version: int | None = None, **kwargs: Any) -> dict[str, Any]:  # noqa: A002
    """
    Replace the running processes by new ones of the same release; no request is lost.

    name
        The project's name.

    type
        The process type; not set: all.

    api_version
        Serve the call by this version.

    kwargs
        ``wait``: seconds to wait for a deployment.

    Returns: The report.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.restart shop web
    """
    return _call("restart", name, api_version, type, **kwargs)


def logs(
    name: str,
    type: str | None = None,  # noqa: A002
    lines: int = 100,
    follow: bool = False,
    api_version: int | None = None,
) -> str:
    """
    Return what the processes of a project printed last, secrets taken out.

    name
        The project's name.

    type
        The process type; not set: all, and each line says whose it is.

    lines
        How many, of each type.

    follow
        Go on printing what comes, until Ctrl-C. On the machine itself, by ``salt-call``.

    api_version
        Serve the call by this version.

    Returns: Text.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.logs shop web follow=True
    """
    return _call("logs", name, api_version, type, lines, follow)


def list_releases(name: str, api_version: int | None = None) -> list[dict[str, Any]]:
    """
    Return the kept releases, newest first; ``kept`` tells what a rollback would use.

    name
        The project's name.

    api_version
        Serve the call by this version.

    Returns: A list of ``{release, revision, when, who, running, kept, artifacts}``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.list_releases shop
    """
    return _call("list_releases", name, api_version)


def history(name: str, limit: int | None = 20, api_version: int | None = None) -> list[dict[str, Any]]:
    """
    Return past deployments, newest first: who, when, revision, result, seconds for each stage.

    name
        The project's name.

    limit
        How many at most; None: all that are kept.

    api_version
        Serve the call by this version.

    Returns: A list of mappings.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.history shop limit=5
    """
    return _call("history", name, api_version, limit)


def report(
    name: str,
    deployment: str | None = None,
    format: str = "text",  # noqa: A002 - what people call it
    to: str | None = None,
    api_version: int | None = None,
) -> Any:
    """
    Return the report of a deployment: its stages, and what it changed.

    name
        The project's name.

    deployment
        Its id; not set: the last one.

    format
        ``text``, ``json`` or ``html``: one file that needs nothing else.

    to
        Absolute path of a file to write it to.

    api_version
        Serve the call by this version.

    Returns: The report as text, as a mapping for ``json``, or where it was written.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.report shop format=html > report.html
    """
    return _call("report", name, api_version, deployment, format, to)


def stats(name: str | None = None, days: float = 90, api_version: int | None = None) -> dict[str, Any]:
    """
    Return how projects are delivered: the four DORA figures, and seconds by stage and week.

    name
        The project's name; not set: all projects.

    days
        How far to look back.

    api_version
        Serve the call by this version.

    Returns: ``{schema, projects: {name: figures}}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.stats shop days=30
    """
    return _call("stats", None, api_version, name, days)


def log(name: str, deployment: str | None = None, api_version: int | None = None) -> str:
    """
    Return the log of a deployment.

    name
        The project's name.

    deployment
        Its id; not set: the last one.

    api_version
        Serve the call by this version.

    Returns: The log as text.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.log shop deployment=20260131T120000Z-1a2b3c4d
    """
    return _call("log", name, api_version, deployment)


def lock(name: str, reason: str = "", api_version: int | None = None) -> dict[str, Any]:
    """
    Refuse deployments and rollbacks until :py:func:`unlock`, for maintenance.

    name
        The project's name.

    reason
        Told to who tries.

    api_version
        Serve the call by this version.

    Returns: ``{who, since, reason}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.lock shop reason='database move'
    """
    return _call("lock", name, api_version, reason)


def unlock(name: str, api_version: int | None = None) -> bool:
    """
    Allow deployments again.

    name
        The project's name.

    api_version
        Serve the call by this version.

    Returns: Whether the project was locked.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.unlock shop
    """
    return _call("unlock", name, api_version)


def maintenance(
    name: str,
    on: bool | str | None = None,
    reason: str = "",
    who: str | None = None,
    api_version: int | None = None,
) -> dict[str, Any]:
    """
    Answer every request to a project with its maintenance page (503), or let requests through again.

    It counts at once, loses no request, and stays through deployments and reboots.

    name
        The project's name.

    on
        ``on`` or ``off``; not set: tell who closed it.

    reason
        Why; for whoever asks :py:func:`status`.

    who
        Asked for it, when a controller calls in a person's name.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, changes, comment, maintenance: {person or deployment: {who, since, reason}}}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.maintenance shop on reason="moving the database"
    """
    return _call("maintenance", name, api_version, on, reason, who)


def renew_certificates(name: str | None = None, force: bool = False, api_version: int | None = None) -> dict[str, Any]:
    """
    Serve the certificate that the configuration gives now, or renew one from an authority when it is due.

    The front's caretaker does the latter by itself, every hour. No deployment is needed, no connection is dropped.

    name
        The project's name; not set: all of them.

    force
        Ask an authority again that refused a moment ago.

    api_version
        Serve the call by this version.

    Returns: ``{name: {result, comment, certificate: {from, names, issuer, until, problem}}}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.renew_certificates shop
    """
    if name is None:
        return _call("renew_certificates", None, api_version, None, force)
    return _call("renew_certificates", name, api_version, force)


def destroy_project(
    name: str, confirm: str | None = None, keep_databases: bool = False, api_version: int | None = None
) -> dict[str, Any]:
    """
    Remove a project with its data. A last archive stays under the projects root, in ``.corpus/destroyed``, with a dump of
    each database beside it. When a database's server cannot be reached, nothing is removed.

    name
        The project's name.

    confirm
        The name again.

    keep_databases
        Leave its databases and their users where they are, without a last dump: their server is gone, say.

    api_version
        Serve the call by this version.

    Returns: ``{name, result, changes, comment, archive}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.destroy_project shop confirm=shop
    """
    return _call("destroy_project", name, api_version, confirm, keep_databases)
