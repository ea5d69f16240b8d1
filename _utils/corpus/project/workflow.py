"""The stages of a deployment and the modes that run them: one table, which everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EDITABLE, COOKING, FINAL = "editable", "cooking", "final"
MODES = (EDITABLE, COOKING, FINAL)

#: the default environment of each mode
ENVIRONMENTS = {EDITABLE: "dev", COOKING: "staging", FINAL: "prod"}


@dataclass(frozen=True)
class Stage:
    """One procedure of a deployment.

    :param name: the stage's name, also that of ``mc_project.<name>`` and ``skip_<name>``
    :param sls: the file in ``.salt`` and in the installer, without ``.sls``
    :param modes: the modes that run it
    :param summary: what it is for, in half a sentence
    :param short: whether a short deployment runs it, too: the same tree with another environment
    """

    name: str
    sls: str
    modes: tuple[str, ...]
    summary: str
    short: bool = False


STAGES: tuple[Stage, ...] = (
    Stage("archive", "archive", (COOKING, FINAL), "keep a copy of what runs, content and data"),
    Stage("initialization", "initialization", MODES, "put the new version's tree in place"),
    Stage("release_sync", "release-sync", (FINAL,), "fetch, verify and unpack the release"),
    Stage("configure", "configure", MODES, "prepare what the build needs", short=True),
    Stage("build", "build", (EDITABLE, COOKING), "compile, install dependencies, anything heavy"),
    Stage(
        "reconfigure", "reconfigure", (COOKING, FINAL), "write settings, register crons and log rotation", short=True
    ),
    Stage("activate", "activate", MODES, "start the new version's processes", short=True),
    Stage("upgrade", "upgrade", MODES, "run the one-shot upgrade steps that are new"),
    Stage("bundle", "bundle", (COOKING,), "make the release that production deploys"),
    Stage("post_install", "post_install", MODES, "anything that comes last"),
)
ROLLBACK = Stage("rollback", "rollback", (COOKING, FINAL), "on error: bring the previous version back", short=True)
NOTIFY = Stage("notify", "notification", MODES, "always: tell the result", short=True)

#: a deployment's kind in records and reports when it is a short one
SHORT = "env"
#: the stages of a short deployment: nothing is fetched, built, upgraded or packed
SHORT_STAGES = tuple(stage for stage in STAGES if stage.short)

ALL: dict[str, Stage] = {stage.name: stage for stage in (*STAGES, ROLLBACK, NOTIFY)}

#: what is not a stage of its own but stands between them in every report: health check, exchange, proxy
SWITCH = "switch"
#: after this stage a new version is proved and takes over
SWITCH_AFTER = "upgrade"

#: nor is this: the project's own test suite, which no sls is about. It runs before anything touches data
TESTS = Stage("tests", "", (EDITABLE, COOKING), "run the project's own test suite on a copy of the new tree")
#: after this stage the new tree is whole, and nothing of it runs yet
TESTS_AFTER = "reconfigure"

#: every sls that a project's ``.salt`` and an installer carry
SLS = ("deploy", *(stage.sls for stage in ALL.values()))


def runs(stage: Stage, cfg: Mapping[str, Any]) -> bool:
    """Tell whether a project's configuration runs ``stage``: the mode decides unless ``skip_<stage>`` does."""
    skip = cfg.get(f"skip_{stage.name}")
    return cfg["operation_mode"] in stage.modes if skip is None else not skip


def why_not(stage: Stage, cfg: Mapping[str, Any]) -> str:
    """Return the reason for which :func:`runs` says no, for a report."""
    if cfg.get(f"skip_{stage.name}"):
        return f"skip_{stage.name} is set"
    return f"not in {cfg['operation_mode']} mode"
