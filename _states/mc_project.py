"""
Projects in a highstate
=======================

``initialized`` and ``deployed`` carry projects in a highstate. ``command`` is for the sls of projects and
installers: it runs a command as the project's user and shows its output to whoever pushed.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.sandbox
from corpus import processes
from corpus.errors import CorpusError
from corpus.project import commands, databases, workflow
from corpus.project.keeping import persistent, registry
from corpus.project.layout import Layout, Roots

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __context__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_project"


def __virtual__():
    return __virtualname__


def _answer(name: str, result: bool | None, comment: str, changes: Any = None) -> dict[str, Any]:
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def initialized(name: str, **configuration: Any) -> dict[str, Any]:
    """
    Make sure that a project can be pushed to.

    name
        The project's name.

    configuration
        Any configuration key that may be set (see the concepts page).

    .. code-block:: yaml

        shop:
          mc_project.initialized:
            - installer: python
            - domain: shop.example.org
    """
    settings = {key: value for key, value in configuration.items() if not key.startswith("__")}
    try:
        done = __salt__["mc_project.init_project"](name, test=__opts__["test"], **settings)
    except Exception as err:
        return _answer(name, False, str(err))
    would = __opts__["test"] and done["result"] and done["changes"]
    return _answer(name, None if would else done["result"], done["comment"], done["changes"])


def deployed(
    name: str, revision: str | None = None, configuration: dict[str, Any] | None = None, wait: float = 0
) -> dict[str, Any]:
    """
    Make sure that a revision of a project runs with a configuration.

    name
        The project's name; it must be initialized.

    revision
        Branch, tag or commit in the project's repository. Not set: what the deploying branch names.

    configuration
        Settings that must be saved for the project.

    wait
        Seconds to wait for another deployment.

    .. code-block:: yaml

        shop:
          mc_project.deployed:
            - revision: v1.4.2
            - configuration:
                domain: shop.example.org
    """
    try:
        difference = __salt__["mc_project.difference"](name, revision=revision, configuration=configuration)
        if not difference:
            return _answer(name, True, f"{name} runs as it should already.")
        if __opts__["test"]:
            return _answer(name, None, f"{name} would be deployed.", difference)
        if configuration:
            __salt__["mc_project.set_configuration"](name, **configuration)
        done = __salt__["mc_project.deploy_project"](name, revision=difference["revision"]["new"], wait=wait)
    except Exception as err:
        return _answer(name, False, str(err))
    return _answer(name, done["result"], done["comment"], difference if done["result"] else {})


def command(
    name: str,
    cwd: str | None = None,
    env: dict[str, Any] | None = None,
    runas: str | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """
    Run a command of a project and show its output line by line while it runs.

    For the sls of a project or an installer. There is no shell: the command is split as a shell splits words
    (quotes work; pipes, ``&&`` and ``$VARIABLES`` do not). Salt's ``unless``, ``onlyif`` and ``creates`` apply.

    name
        The command.

    cwd
        Folder to run it in; the project's tree when not set.

    env
        Environment variables, on top of the project's own (its ``env``, ``DATA_ROOT``, ``HOME``, and ``PATH``, in which the
        folders of the tree that ``paths`` names come first).

    runas
        Unix user; the project's user when not set.

    timeout
        Seconds after which it is killed; the stage's own timeout applies anyway.

    .. code-block:: yaml

        {{ cfg.name }}-assets:
          mc_project.command:
            - name: npm run build
            - creates: {{ cfg.project_root }}/public/build
    """
    cfg = __context__.get("mc_project.cfg") or {}
    if __opts__["test"]:
        return _answer(name, None, "The command would run; what it would change is not known.")
    try:
        words = shlex.split(name)
    except ValueError as err:
        return _answer(name, False, f"The command cannot be split into words: {err}.")
    if not words:
        return _answer(name, False, "The command is empty.")
    try:
        commands.run(
            cfg,
            words,
            lambda line: print(line, flush=True),  # noqa: T201 - to the worker's pipe, and so to who pushed
            env={key: str(value) for key, value in (env or {}).items()},
            cwd=cwd,
            user=runas,
            timeout=timeout,
        )
    except CorpusError as err:
        return _answer(name, False, str(err))
    return _answer(name, True, "The command ran.", {"ran": name})


def kept_in_data(name: str, but: list[str] | None = None) -> dict[str, Any]:
    """
    Make sure that a folder of the tree outlives the release: a link to the same folder in ``data/``.

    What the tree brings in it is copied to ``data/`` and replaces nothing there. In editable mode the folder stays
    where it is.

    name
        The folder, relative to the tree.

    but
        Folders inside of it that each release makes anew (caches of compiled code), relative to the folder.

    .. code-block:: yaml

        var:
          mc_project.kept_in_data:
            - but: [cache]
    """
    cfg = __opts__["ms_project"]
    tree, data = Path(cfg["project_root"]), Path(cfg["data_root"])
    try:
        folder, inner = persistent.checked(name), [persistent.checked(one) for one in but or []]
        if cfg["operation_mode"] == workflow.EDITABLE:
            if (tree / folder).is_dir() or __opts__["test"]:
                return _answer(name, True, f"{folder} stays in your own tree.")
            processes.run(["mkdir", "-p", "--", tree / folder], user=cfg["user"], cwd="/")
            return _answer(name, True, f"{folder} was made in your own tree.", {"made": folder})
        if persistent.linked(tree, data, folder, inner):
            return _answer(name, True, f"{folder} is kept in data/ already.")
        if __opts__["test"]:
            return _answer(name, None, f"{folder} would be kept in data/.", {"kept": folder})
        persistent.link(tree, data, folder, inner, cfg["user"])
    except CorpusError as err:
        return _answer(name, False, str(err))
    return _answer(name, True, f"{folder} is kept in data/.", {"kept": folder})


def database(
    name: str,
    database: str | None = None,
    user: str | None = None,
    admin: str | None = None,
    extensions: list[str] | None = None,
    variable: str | None = None,
) -> dict[str, Any]:
    """
    Make sure of a database and its user, as the key ``databases`` does; its url is in the environment from then on.

    name
        ``postgresql``, ``mysql`` or ``sqlite``.

    database, user
        Their names; the project's when not set.

    admin
        Url of the server's administrator; the local server when not set.

    extensions
        Of PostgreSQL.

    variable
        Environment variable that gets the url; ``DATABASE_URL`` when not set.

    .. code-block:: yaml

        postgresql:
          mc_project.database:
            - extensions: [pg_trgm]
    """
    cfg = __opts__["ms_project"]
    given = {"type": name, "name": database, "user": user, "admin": admin, "variable": variable}
    entry = {key: value for key, value in {**given, "extensions": extensions}.items() if value}
    try:
        layout = Layout(Roots.configured(__opts__), cfg["name"])
        wish = databases.read(entry, cfg["name"])
        done = databases.ensure(layout, wish, Path(cfg["data_root"]), cfg["user"], __opts__["test"])
        cfg["env"] = {**registry.environment(layout), **cfg["env"]}
    except CorpusError as err:
        return _answer(name, False, str(err))
    if not done:
        return _answer(name, True, f"The {wish.type} database {wish.name} is there.")
    return _answer(name, None if __opts__["test"] else True, "; ".join(done), {"done": done})


def configuration_file(name: str, template: str, mode: str = "0640") -> dict[str, Any]:
    """
    Make sure of a configuration file in ``data/``, rendered by Jinja with ``cfg``.

    name
        The file, relative to ``data/``.

    template
        The template, relative to the project's ``.salt``.

    mode
        Permission bits, in octal digits.

    .. code-block:: yaml

        etc/shop.ini:
          mc_project.configuration_file:
            - template: shop.ini.jinja
    """
    cfg = __opts__["ms_project"]
    try:
        source = Path(cfg["salt_root"]) / persistent.checked(template)
        if not source.resolve().is_relative_to(Path(cfg["salt_root"]).resolve()) or not source.is_file():
            return _answer(name, False, f"There is no template {template} in .salt.")
        rules = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        content = rules.from_string(source.read_text(encoding="utf-8")).render(cfg=cfg)
        return _data_file(cfg, name, content, mode)
    except jinja2.TemplateError as err:
        return _answer(name, False, f"{template} does not render: {err}")
    except CorpusError as err:
        return _answer(name, False, str(err))


def env_file(name: str, keys: list[str] | None = None) -> dict[str, Any]:
    """
    Make sure of a file in ``data/`` with the project's environment, for programs that read one; its owner alone reads it.

    name
        The file, relative to ``data/``.

    keys
        The variables; all of ``env`` when not set.

    .. code-block:: yaml

        etc/env:
          mc_project.env_file:
            - keys: [DATABASE_URL]
    """
    cfg = __opts__["ms_project"]
    missing = [key for key in keys or [] if key not in cfg["env"]]
    if missing:
        return _answer(name, False, f"The environment has no {', '.join(missing)}.")
    rows = [f"{key}={_env_quoted(str(cfg['env'][key]))}\n" for key in sorted(keys or cfg["env"])]
    try:
        return _data_file(cfg, name, "".join(rows), "0600")
    except CorpusError as err:
        return _answer(name, False, str(err))


def _env_quoted(value: str) -> str:
    for sign in '\\"$`':
        value = value.replace(sign, f"\\{sign}")
    return '"' + value.replace("\n", "\\n") + '"'


def _data_file(cfg: dict[str, Any], name: str, content: str, mode: str) -> dict[str, Any]:
    path, bits = Path(cfg["data_root"]) / persistent.checked(name), int(str(mode), 8)
    same = path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o777 == bits
    if same and path.read_text(encoding="utf-8", errors="replace") == content:
        return _answer(name, True, f"data/{name} is as it should be.")
    if __opts__["test"]:
        return _answer(name, None, f"data/{name} would be written.", {"written": name})
    processes.run(["mkdir", "-p", "--", path.parent], user=cfg["user"], cwd="/")
    processes.write(path, content, bits, cfg["user"])
    return _answer(name, True, f"data/{name} was written.", {"written": name})
