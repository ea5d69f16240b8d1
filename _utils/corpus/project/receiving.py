"""A push arrives: the hook hands it over, and the answer decides whether git accepts it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from corpus.errors import CorpusError, PushRefused, UsageError
from corpus.project import configuration, deployment, initialization, plan, workflow
from corpus.project.git import hook, push, repositories
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Request


def receive(minion: Minion, name: str, repository: str, lines: Iterable[str]) -> dict[str, Any]:
    """Deploy a push while it waits, when it moves the branch that deploys.

    :param repository: ``project`` or ``pillar``
    :param lines: what the hook hands over
    :returns: ``{name, result, comment, …}``; ``result`` False: git must refuse the push. What went wrong was said to
        the pusher already
    """
    try:
        push.environment_cleared()
        answer = _receive(minion, name, repository, lines)
    except CorpusError as err:
        _say(str(err))
        return {"name": name, "result": False, "changes": {}, "comment": str(err)}
    if answer["result"]:
        sys.stdout.write(f"{hook.ACCEPTED}\n")
        sys.stdout.flush()
    return answer


def _receive(minion: Minion, name: str, repository: str, lines: Iterable[str]) -> dict[str, Any]:
    layout = Layout.existing(minion.roots, name)
    if repository not in ("project", "pillar"):
        raise UsageError(f"There is no repository {repository!r} of a project: it is project or pillar.")
    bare = layout.project_git if repository == "project" else layout.pillar_git
    pushed = push.Push.read(bare, lines)
    cfg = initialization.settled(minion, layout, configuration.stored_settings(layout))
    branch = cfg[f"{repository}_branch"]
    update = pushed.deploying(branch)
    stored = pushed.stored(branch)
    if update is None:
        return _accepted(name, stored)
    if stored:
        _say(stored)
    if "no-deploy" in pushed.options:
        return _accepted(
            name, f"Stored without a deployment (-o no-deploy): mc_project.deploy_project {name} deploys it."
        )
    if cfg["operation_mode"] == workflow.EDITABLE:
        return _accepted(name, f"Stored; in editable mode nothing deploys by itself: mc_project.deploy_project {name}.")
    user = cfg["user"] if minion.privileged else None
    if repository == "pillar" and _project_is_empty(layout, cfg, user):
        return _accepted(
            name,
            f"The pillar is stored; the first push to {initialization.remote(cfg, layout.project_git)} uses it.",
        )
    request = Request(
        who=pushed.who,
        revision=update.new if repository == "project" else None,
        pillar_revision=update.new if repository == "pillar" else None,
        project_env=pushed.env if repository == "project" else {},
        pillar_env=pushed.env if repository == "pillar" else {},
        replaces={repository: update.old},
    )
    if "plan" in pushed.options:
        plan.plan(minion, name, request)
        raise PushRefused(f"Only planned (-o plan): {branch} was not moved.")
    return deployment.deploy(minion, name, request)


def _project_is_empty(layout: Layout, cfg: dict[str, Any], user: str | None) -> bool:
    return not cfg["release_artifacts_urls"] and not repositories.head(layout.project_git, cfg["project_branch"], user)


def _accepted(name: str, words: str) -> dict[str, Any]:
    _say(words)
    return {"name": name, "result": True, "changes": {}, "comment": words}


def _say(words: str) -> None:
    sys.stderr.write(f"-----> {words}\n")
    sys.stderr.flush()
