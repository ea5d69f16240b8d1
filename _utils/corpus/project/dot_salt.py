"""A project's ``.salt``: the sls that it starts with, and the sample of its configuration.

Generated where the pushed tree has none, so that every stage has an sls, even if it only includes the installer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from corpus import files
from corpus.errors import CorpusError
from corpus.project import installers, workflow
from corpus.project.keys import KEYS
from corpus.project.takeover import own


def complete(salt_root: Path, user: str | None, group: str | None) -> None:
    """Write every sls that a project needs and that its tree does not have."""
    for path, content in missing(salt_root):
        if not path.exists():
            write(path, content, user, group)


def write(path: Path, content: str, user: str | None, group: str | None) -> None:
    """Write a file into ``.salt`` for the project's user.

    :raises CorpusError: what was pushed is no folder there
    """
    if path.parent.is_symlink():
        raise CorpusError(f"{path.parent.name} is a link in the pushed tree: make it a folder.")
    if path.parent.exists() and not path.parent.is_dir():
        raise CorpusError(f"{path.parent.name} is a file in the pushed tree: make it a folder.")
    if not path.parent.exists():
        path.parent.mkdir()
        path.parent.chmod(0o755)
        own(path.parent, user, group)
    files.write(path, content)
    own(path, user, group)


def missing(salt_root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path and the content of every file that init_project generates in a project's ``.salt``."""
    for sls in workflow.SLS:
        yield salt_root / f"{sls}.sls", _stage_sls(sls)
    yield salt_root / "top.sls", _TOP
    yield salt_root / "standalone.sls", _STANDALONE
    yield salt_root / "PILLAR.sample", pillar_sample()


def _stage_sls(sls: str) -> str:
    stage = next((stage for stage in workflow.ALL.values() if stage.sls == sls), None)
    summary = stage.summary if stage else "what the whole deployment needs, before its first stage"
    function = stage.name if stage and stage.name != "initialization" else "deploy_project"
    return _STAGE.format(title=sls, summary=summary, key=sls, function=function)


_STAGE = """\
# {title}: {summary}.
# What you add below the include is yours; the live mapping cfg has everything there is to know.
{{% if cfg is defined %}}
include: {{{{ cfg.sls_includes['{key}'] | json }}}}
{{% else %}}
{{{{ sls }}}}-is-a-stage:
  test.fail_without_changes:
    - comment: >-
        {{{{ sls }}}} is a stage of a corpus project and cannot be run alone:
        use salt-call mc_project.{function} {{{{ sls.split('.')[1] }}}}
{{% endif %}}
"""

_TOP = """\
# Full run: makes sure that the project is initialized, then deploys it. Carry it in a highstate as it is.
include:
  - .standalone

{{ sls.split('.')[1] }}-initialized:
  mc_project.initialized:
    - name: {{ sls.split('.')[1] }}
    - require_in:
      - mc_project: {{ sls.split('.')[1] }}-deployed
"""

_STANDALONE = """\
# Deploys the project as it is initialized, and nothing else.
{{ sls.split('.')[1] }}-deployed:
  mc_project.deployed:
    - name: {{ sls.split('.')[1] }}
"""


def pillar_sample() -> str:
    """Return a ``PILLAR.sample`` that documents every key that can be set, all commented out.

    What each installer sets is taken from its ``defaults.yaml``, which the reference shows, too.
    """
    rows = [
        "# The project's configuration, weaker than its pillar. Every key can be set here or in the pillar, under",
        "# makina-projects.<name>. Uncomment what you need; the values shown are the defaults.",
        "",
    ]
    for key in KEYS.values():
        if not key.fixed:
            value = yaml.safe_dump({key.name: key.default}, default_flow_style=True, width=10_000).strip()[1:-1]
            rows += [f"# {key.doc}", f"# {value}", ""]
    version = KEYS["api_version"].default
    for name in installers.official(version):
        sample = (installers.official_root() / str(version) / name / "defaults.yaml").read_text(encoding="utf-8")
        rows += [f"# --- What the installer {name} sets when nobody else does:"]
        rows += [f"# {line}".rstrip() for line in sample.strip().splitlines()] + [""]
    return "\n".join(rows)
