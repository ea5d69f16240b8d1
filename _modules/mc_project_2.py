"""
Projects, API version 2
=======================

The module that :py:mod:`mc_project` dispatches to for projects of API version 2. Call it through the dispatcher,
whose functions have the same names and arguments and are documented at length; call it directly when you mean this
version and no other.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import salt.utils.args
from corpus import dotenv
from corpus.door import answered, translated
from corpus.errors import UsageError
from corpus.project import (
    deployment,
    environment,
    incoming,
    initialization,
    installers,
    procedures,
    projects,
    promotion,
    receiving,
    reconfiguration,
    reports,
    scaling,
    session,
    upgrades,
    verification,
    watching,
)
from corpus.project import plan as plans
from corpus.project import rollback as rollbacks
from corpus.project.keeping import history as histories
from corpus.project.keeping import lock as locks
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Request
from corpus.project.telling import terminal

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __opts__: dict[str, Any]
    __grains__: dict[str, Any]
    __pillar__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_project_2"


def __virtual__():
    return __virtualname__


def _minion() -> Minion:
    installers.also_look_in([__opts__.get("corpus.installers_root"), *__opts__["file_roots"].get("base", [])])
    return Minion(opts=__opts__, grains=__grains__.value(), pillar=_pillar(), functions=__salt__)


def _pillar() -> dict[str, Any]:
    pillar = __pillar__
    return pillar.value() if hasattr(pillar, "value") else pillar


def _layout(name: str) -> Layout:
    return Layout.existing(_minion().roots, name)


def _request(kwargs: dict[str, Any]) -> Request:
    """Take what is about the call out of ``kwargs``; the rest is configuration for this run."""
    settings = salt.utils.args.clean_kwargs(**kwargs)
    return Request(
        who=session.who(settings.pop("who", None)),
        revision=settings.pop("revision", None),
        wait=float(settings.pop("wait", 0)),
        settings=settings,
    )


def init_project(name: str, test: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    Make a project ready to be pushed to.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.init_project shop installer=python
    """
    with translated():
        settings = salt.utils.args.clean_kwargs(**kwargs)
        return initialization.initialize(_minion(), name, settings, session.who(), test=test)


def deploy_project(name: str, test: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    Deploy a project through every stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.deploy_project shop
    """
    with translated():
        run = plans.plan if test else deployment.deploy
        return answered(run(_minion(), name, _request(kwargs)), __context__)


def watch(name: str, first: bool = True) -> dict[str, Any]:
    """
    Deploy what changes in a developer's tree, until Ctrl-C.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.watch shop
    """
    with translated():
        return watching.watch(_minion(), name, session.who(), bool(first))


def plan(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Tell what a deployment would change.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.plan shop
    """
    return deploy_project(name, test=True, **kwargs)


def receive(name: str, repository: str) -> dict[str, Any]:
    """
    Take a push from a git hook (on standard input).

    CLI Example:

    .. code-block:: bash

        echo "update $OLD $NEW refs/heads/main" | salt-call --local mc_project_2.receive shop project
    """
    with translated():
        return answered(receiving.receive(_minion(), name, repository, sys.stdin), __context__)


def receive_release(name: str) -> dict[str, Any]:
    """
    Take a release that another machine hands over (on standard input).

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.receive_release shop < release
    """
    with translated():
        return answered(incoming.receive(_minion(), name, sys.stdin.buffer), __context__)


def promote(
    name: str, release: str | None = None, to: str | None = None, deploy: bool = True, wait: float = 0
) -> dict[str, Any]:
    """
    Hand a release to another machine.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.promote shop to=shop@www.example.org
    """
    with translated():
        return promotion.promote(_minion(), name, release, to, session.who(), bool(deploy), float(wait))


def verify_release(name: str, release: str | None = None, url: str | None = None) -> dict[str, Any]:
    """
    Check sums and signature of a release.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.verify_release shop
    """
    with translated():
        return answered(verification.verify(_minion(), name, release, url), __context__)


def get_configuration(name: str, explain: bool = False, unmask: bool = False) -> dict[str, Any]:
    """
    Return the project's configuration.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.get_configuration shop
    """
    with translated():
        return projects.get_configuration(_minion(), name, explain, unmask)


def set_configuration(name: str, cfg: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Save settings of a project.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.set_configuration shop domain=shop.example.org
    """
    with translated():
        settings = salt.utils.args.clean_kwargs(**kwargs)
        return projects.set_configuration(_minion(), name, cfg, settings, session.who())


def _as_typed(kwargs: dict[str, Any]) -> dict[str, str]:
    """Return variables as texts: as they stand on salt-call's command line, where Salt has taken them for YAML."""
    ours = __opts__.get("fun") in ("mc_project.env_set", "mc_project_2.env_set")
    return environment.as_typed(__opts__.get("arg") or () if ours else (), salt.utils.args.clean_kwargs(**kwargs))


def env_set(
    name: str,
    from_file: str | None = None,
    key: str | None = None,
    deploy: bool = True,
    wait: float = 0,
    test: bool = False,
    sealed: str | None = None,
    who: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """
    Set environment variables of the project's processes, and let them have those without a downtime.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.env_set shop from_file=/root/shop.env
    """
    with translated():
        variables = dotenv.from_file(from_file, key) if from_file else {}
        if sealed is not None:
            variables |= environment.unsealed(sealed, name, _minion())
        variables |= _as_typed(kwargs)
        request = Request(who=session.who(who), wait=float(wait))
        told = reconfiguration.set_variables(_minion(), name, variables, request, deploy, test)
        return answered(told, __context__)


def env_unset(
    name: str, *args: str, deploy: bool = True, wait: float = 0, test: bool = False, who: str | None = None
) -> dict[str, Any]:
    """
    Take back environment variables that env_set set.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.env_unset shop SMTP_PASSWORD
    """
    with translated():
        request = Request(who=session.who(who), wait=float(wait))
        told = reconfiguration.unset_variables(_minion(), name, args, request, deploy, test)
        return answered(told, __context__)


def env_get(name: str, key: str | None = None, unmask: bool = False) -> Any:
    """
    Return the environment of the project's processes, or one variable; masked unless unmask.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.env_get shop SMTP_HOST unmask=True
    """
    with translated():
        return projects.get_environment(_minion(), name, key, unmask)


def _stage(name: str, stage: str, kwargs: dict[str, Any], step: str | None = None) -> dict[str, Any]:
    with translated():
        return answered(procedures.run(_minion(), name, stage, _request(kwargs), step), __context__)


def archive(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Archive what runs, content and data.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.archive shop
    """
    return _stage(name, "archive", kwargs)


def release_sync(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Fetch, verify and unpack the configured release into the running tree.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.release_sync shop
    """
    return _stage(name, "release_sync", kwargs)


def configure(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run the configure stage on the running tree.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.configure shop
    """
    return _stage(name, "configure", kwargs)


def build(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run the build stage on the running tree.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.build shop
    """
    return _stage(name, "build", kwargs)


def reconfigure(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run the reconfigure stage on the running tree.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.reconfigure shop
    """
    return _stage(name, "reconfigure", kwargs)


def activate(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run the activate stage and start the processes again.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.activate shop
    """
    return _stage(name, "activate", kwargs)


def upgrade(name: str, step: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Run the upgrade steps that were not done yet, or one by name.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.upgrade shop step=0001-fill-slugs
    """
    return _stage(name, "upgrade", kwargs, step)


def forget_upgrade(name: str, step: str) -> bool:
    """
    Let an upgrade step be run again.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.forget_upgrade shop 0001-fill-slugs
    """
    with translated():
        return upgrades.forget(_layout(name), step)


def bundle(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Pack the running tree into its release.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.bundle shop
    """
    return _stage(name, "bundle", kwargs)


def post_install(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run the post_install stage on the running tree.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.post_install shop
    """
    return _stage(name, "post_install", kwargs)


def notify(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Send the result of the last deployment again.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.notify shop
    """
    with translated():
        return procedures.notify(_minion(), name, _request(kwargs))


def rollback(name: str, release: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """
    Go back to a kept release.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.rollback shop
    """
    with translated():
        return answered(rollbacks.roll_back(_minion(), name, _request(kwargs), release), __context__)


def list_projects() -> dict[str, dict[str, Any]]:
    """
    Return all projects of this machine.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.list_projects
    """
    with translated():
        return projects.listing(_minion().roots)


def status(name: str) -> dict[str, Any]:
    """
    Return how a project is.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.status shop
    """
    with translated():
        return projects.status(_minion(), name)


def ps(name: str) -> list[dict[str, Any]]:
    """
    Return the processes of a project.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.ps shop
    """
    with translated():
        return projects.ps(_minion(), name)


def scale(name: str, **kwargs: Any) -> dict[str, Any]:
    """
    Run that many processes of a type.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.scale shop web=3 worker=1
    """
    with translated():
        request = _request(kwargs)
        return answered(scaling.scale(_minion(), name, request.settings, request), __context__)


def restart(name: str, type: str | None = None, **kwargs: Any) -> dict[str, Any]:  # noqa: A002
    """
    Replace the running processes by new ones.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.restart shop web
    """
    with translated():
        return answered(scaling.restart(_minion(), name, type, _request(kwargs)), __context__)


def logs(name: str, type: str | None = None, lines: int = 100, follow: bool = False) -> str:  # noqa: A002
    """
    Return what the processes of a project printed last.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.logs shop web
    """
    with translated():
        minion = _minion()
        if follow and not minion.talks_to_a_terminal:
            raise UsageError("follow=True prints on a terminal: call it by salt-call on the machine itself.")
        return projects.read_logs(minion, name, type, lines, terminal.say if follow else None)


def difference(name: str, revision: str | None = None, configuration: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Return what is between what runs and a revision with settings.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.difference shop revision=v1.4.2
    """
    with translated():
        return projects.difference(_minion(), name, revision, configuration)


def run(name: str, command: str, timeout: float | None = None) -> dict[str, Any]:
    """
    Run a one-off process in the running release.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.run shop 'python manage.py check'
    """
    with translated():
        done = projects.run(_minion(), name, command, timeout)
        if done["status"]:
            __context__["retcode"] = done["status"]
        return done


def list_releases(name: str) -> list[dict[str, Any]]:
    """
    Return the kept releases, newest first.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.list_releases shop
    """
    with translated():
        return projects.list_releases(_minion(), name)


def history(name: str, limit: int | None = 20) -> list[dict[str, Any]]:
    """
    Return past deployments, newest first.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.history shop
    """
    with translated():
        return histories.listing(_layout(name), limit)


def report(
    name: str,
    deployment: str | None = None,
    format: str = "text",  # noqa: A002 - what people call it
    to: str | None = None,
) -> Any:
    """
    Return the report of a deployment.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.report shop format=html > report.html
    """
    with translated():
        return reports.report(_layout(name), deployment, format, to)


def stats(name: str | None = None, days: float = 90) -> dict[str, Any]:
    """
    Return the four DORA figures, and seconds by stage.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.stats shop days=30
    """
    with translated():
        return reports.figures(_minion().roots, name, days)


def log(name: str, deployment: str | None = None) -> str:
    """
    Return the log of a deployment.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.log shop
    """
    with translated():
        return histories.log(_layout(name), deployment)


def lock(name: str, reason: str = "") -> dict[str, Any]:
    """
    Refuse deployments until unlock.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.lock shop reason="database move"
    """
    with translated():
        return locks.close_for_maintenance(_layout(name), session.who(), str(reason))


def unlock(name: str) -> bool:
    """
    Allow deployments again.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.unlock shop
    """
    with translated():
        return locks.reopen(_layout(name))


def maintenance(name: str, on: bool | str | None = None, reason: str = "", who: str | None = None) -> dict[str, Any]:
    """
    Close a project for maintenance, or open it again.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.maintenance shop on
    """
    with translated():
        if isinstance(on, str):
            if on.lower() not in ("on", "off"):
                raise UsageError(f"maintenance is on or off, not {on[:60]!r}.")
            on = on.lower() == "on"
        return projects.maintenance(_minion(), name, on, str(reason), session.who(who))


def renew_certificates(name: str | None = None, force: bool = False) -> dict[str, Any]:
    """
    Serve the certificates that are configured now, and renew those that are due.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.renew_certificates shop
    """
    with translated():
        renewed = projects.renew_certificates(_minion(), name, force)
        if not all(one["result"] for one in renewed.values()):
            __context__["retcode"] = 1
        return renewed


def destroy_project(name: str, confirm: str | None = None, keep_databases: bool = False) -> dict[str, Any]:
    """
    Remove a project; a last archive stays.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project_2.destroy_project shop confirm=shop
    """
    with translated():
        return projects.destroy(_minion(), name, confirm, session.who(), keep_databases)
