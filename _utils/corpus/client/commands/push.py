"""``corpus push``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import pushing
from ..api import place
from ..call import Call
from ..errors import NotThere
from ..frame import command

HEADLINE = "Projects"
_PILLAR = "corpus.pillar"


@command(
    "push",
    HEADLINE,
    ("prod shop shop", "In the project's directory: what is committed is deployed"),
    ("prod shop shop --pillar ../shop-pillar", "Its pillar first"),
    ("prod shop shop --ref v1.4.2", "Another commit than the one that is checked out"),
    ("prod shop shop --plan", "What a deployment would change"),
    changes=True,
    waits=False,
)
@click.argument("guest")
@click.argument("project")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("."),
    help="The project's work tree; by default the one that you are in.",
)
@click.option(
    "--pillar",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Its pillar: a work tree, or a plain folder. git config {_PILLAR} FOLDER remembers it.",
)
@click.option("--ref", default="HEAD", show_default=True, help="What to push.")
@click.option("--branch", default="main", show_default=True, help="The branch that deploys there.")
@click.option("--force", is_flag=True, help="Also when the branch there has commits that REF has not.")
@click.option("-o", "--push-option", "options", multiple=True, help="For the guest, as git push -o; may be repeated.")
def push(
    call: Call,
    guest: str,
    project: str,
    directory: Path,
    pillar: Path | None,
    ref: str,
    branch: str,
    force: bool,
    options: Sequence[str],
) -> int:
    """Push PROJECT to GUEST with git: first its pillar, then the project, which deploys it while you watch.

    The exit status is git's: what is refused is not deployed, and what ran before runs on. Of a plan it is 0 when a
    deployment would do.
    """
    work = pushing.tree(directory)
    revision = pushing.revision(work, ref)
    if pushing.dirty(work) and ref == "HEAD":
        call.out.say("What is not committed is not pushed.", "yellow")
    if pillar is None and (kept := pushing.configured(work, _PILLAR)):
        pillar = work / Path(kept).expanduser()
    remotes = _remotes(call, guest, project)
    asked = [word for option in options for word in ("-o", option)]
    new = pushing.there(work, remotes["project"], branch) != revision
    told: dict[str, Any] = {"guest": guest, "project": project, "revision": revision, "pillar": None, "status": 0}
    if pillar is not None and not call.plan:
        # The project's push deploys both; when there is nothing new in it, the pillar's does.
        told["pillar"] = told["status"] = _push_pillar(
            call, pillar, remotes["pillar"], branch, ["-o", "no-deploy"] if new else asked, force
        )
    if told["status"] == 0:
        do = pushing.planned if call.plan else pushing.push
        told["status"] = do(
            work, remotes["project"], f"{revision}:refs/heads/{branch}", [*asked, *_forced(force)], call.out.as_json
        )
    if call.out.as_json:
        call.out.json(told)
    return int(told["status"])


def _forced(force: bool) -> list[str]:
    return ["--force"] if force else []


def _push_pillar(call: Call, pillar: Path, url: str, branch: str, options: Sequence[str], force: bool) -> int:
    if (pillar / ".git").exists():
        more = [*options, *_forced(force)]
        return pushing.push(pillar, url, f"HEAD:refs/heads/{branch}", more, call.out.as_json)
    return pushing.push_folder(pillar, url, branch, options, call.out.as_json)


def _remotes(call: Call, guest: str, project: str) -> dict[str, str]:
    """The urls that a project on a guest is pushed to.

    :raises NotThere: it is not there
    """
    found = {one["guest"]: one for one in call.api.get(place("projects", project, "remotes"))}
    name = guest if guest in found else str(call.api.get(place("guests", guest))["name"])
    if name in found:
        return {"project": str(found[name]["project"]), "pillar": str(found[name]["pillar"])}
    on, nickname = ", ".join(sorted(found)) or "no guest", call.endpoint.nickname
    raise NotThere(f"{project} is not on {name}, but on {on}: corpus project_place {nickname} {project} {name}")
