"""``cfg``: the mapping that describes a project, assembled from layers and handed live to every sls.

Layers, weakest first: defaults, the installer's defaults, what is found in the tree, its ``.env``, ``app.json`` and ``Procfile``,
``env_defaults[default_env]``, ``os_defaults[os_family, os]``,
the registry's ``env``, ``.salt/PILLAR.sample``, pillar ``makina-projects.<name>``, grains likewise, saved settings, keyword arguments.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
import socket
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus import files, identifiers, secrets
from corpus.errors import ConfigurationError
from corpus.project import closure, found, installers, workflow
from corpus.project.found import Found, declared
from corpus.project.found.declared import Declared
from corpus.project.keeping import registry
from corpus.project.layout import Layout
from corpus.project.running import formation

#: the pillar key, the grain and the top of a PILLAR.sample: ``makina-projects.<name>``
PREFIX = "makina-projects."

_TYPES = {
    "text": (str,),
    "yes or no": (bool,),
    "whole number": (int,),
    "seconds": (int, float),
    "list": (list,),
    "mapping": (dict,),
    "list or mapping": (list, dict),
}


@dataclass(frozen=True)
class Key:
    """One configuration key.

    :param name: as written in pillars and on the command line
    :param kind: what its values are: text, yes or no, whole number, seconds, list, mapping, list or mapping
    :param default: its value when nobody sets it; None is "not set" and always allowed
    :param doc: one sentence for the reference and the sample
    :param fixed: computed by corpus; nobody sets it
    """

    name: str
    kind: str
    default: Any
    doc: str
    fixed: bool = False


def _skips() -> Iterator[Key]:
    for stage in (*workflow.ALL.values(), workflow.TESTS):
        yield Key(
            f"skip_{stage.name}",
            "yes or no",
            None,
            f"Skip ({stage.name}) or force it; not set: the mode decides.",
        )


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("name", "text", None, "The project's name.", fixed=True),
        Key(
            "api_version",
            "whole number",
            2,
            "Version of the project API, served by the module mc_project_<N>.",
        ),
        Key(
            "installer",
            "text",
            installers.AUTO,
            "auto (what the tree is, is looked for in it), official name, absolute path, or path inside the project's .salt.",
        ),
        Key(
            "operation_mode",
            "text",
            workflow.COOKING,
            "editable (dev), cooking (staging) or final (production).",
        ),
        Key("default_env", "text", None, "dev, staging or prod; not set: follows the mode."),
        Key("url", "text", None, "Distant git repository of the application, remote 'origin'."),
        Key("pillar_url", "text", None, "Distant git repository of the project's pillar, remote 'origin'."),
        Key("project_branch", "text", "main", "The branch that deploys; others are only stored."),
        Key("pillar_branch", "text", "main", "The branch of the pillar that deploys."),
        Key("user", "text", "{name}", "Unix user of the project's files and processes (root runs only)."),
        Key("group", "text", "{user}", "Unix group of the project's files."),
        Key("groups", "list", [], "Further groups of the user."),
        Key("authorized_keys", "list", [], "Public ssh keys of the people who may push as the project's user."),
        Key(
            "release_keys",
            "list",
            [],
            "Public ssh keys that may hand over releases (mc_project.promote), and not push.",
        ),
        Key("main_ip", "text", None, "The machine's address; not set: looked up."),
        Key("domain", "text", None, "Host name the web front serves the project at; not set: any name."),
        Key("domains", "list", [], "Further host names."),
        Key("http_address", "text", "{default_http_address}", "Address the web front listens on."),
        Key(
            "http_port",
            "whole number",
            None,
            "Port the web front listens on; not set: 80, or 8080 when not root.",
        ),
        Key(
            "https_port",
            "whole number",
            None,
            "Port the web front listens on for https; not set: 443, or 8443 when not root.",
        ),
        Key(
            "tls",
            "mapping",
            {},
            "certificate and key (PEM), or acme (yes, or directory, contact, ca_bundle); redirect, hsts.",
        ),
        Key("trusted_proxies", "list", [], "Networks of proxies whose X-Forwarded-For, -Proto and -Port count."),
        Key("processes", "mapping", {}, "Command lines by process type, over those of the Procfile; null: not run."),
        Key("scale", "mapping", {}, "How many processes of each type run; a type that is not named: one."),
        Key(
            "paths",
            "list",
            ["venv/bin", "bin", "node_modules/.bin"],
            "Folders of the tree with programs, first on the PATH of processes and build commands.",
        ),
        Key(
            "limits",
            "mapping",
            {},
            "What each process may take: memory (512M), cpu (50%), tasks (200); under a type's name, for that type.",
        ),
        Key("document_root", "text", None, "Folder of the tree served as files when there is no web process."),
        Key(
            "static_files",
            "mapping",
            {},
            "Folders of the tree or of data_root by url prefix: a folder, or folder, max_age (seconds), hashed.",
        ),
        Key("spa", "yes or no", False, "Whether paths without a file get the document root's index.html."),
        Key("upload_limit", "text", "64m", "Largest request body: 512k, 64m, 2g; 0 is no limit."),
        Key("proxy_timeout", "seconds", 300, "Seconds that a web process may be silent in a request."),
        Key(
            "security_headers", "yes or no", True, "Whether answers get the usual headers that the application forgot."
        ),
        Key("access_log", "yes or no", True, "Whether requests are written to logs/access.log."),
        Key("maintenance_page", "text", None, "Page of the tree for maintenance; not set: maintenance.html, or ours."),
        Key("maintenance_retry", "seconds", 120, "Seconds after which clients ask a closed project again."),
        Key("env", "mapping", {}, "Environment variables of the processes and of build commands."),
        Key("required_env", "list", [], "Variables without a value of which nothing is deployed."),
        Key("secret_env", "list", [], "Variables that get a random value of their own, once, when they have none."),
        Key(
            "scripts",
            "mapping",
            {},
            "Commands of a deployment: predeploy (before processes start), postdeploy (at its end), setup (at the end of the first).",
        ),
        Key(
            "databases",
            "list",
            [],
            "Databases made for the project: types, or mappings of type, name, user, admin, extensions, variable.",
        ),
        Key("cron", "list", [], "Commands to run by the clock: mappings with schedule (as in crontab) and command."),
        Key("logrotate", "list", [], "Logs that the application writes itself: patterns of files below data/."),
        Key(
            "healthcheck",
            "mapping",
            {},
            "path, status (list, 2xx too; not set: below 500), timeout, interval and wait (seconds), attempts, contains, "
            "host, https, redirects (to follow), or command.",
        ),
        Key(
            "tests",
            "mapping",
            {},
            "The test suite: command, junit (pattern of its XML files in the tree), required (true), timeout (seconds), "
            "env (nothing else of the environment is there).",
        ),
        Key(
            "services_during_build",
            "text",
            "keep",
            "keep: the old version serves while the new one is built; stop: it is stopped, for small guests.",
        ),
        Key(
            "upgrade_maintenance",
            "yes or no",
            False,
            "Whether every upgrade gets the maintenance page, because the old version would not survive it.",
        ),
        Key("drain", "seconds", 5, "Seconds that old processes get to finish their requests."),
        Key("timeout", "seconds", 3600, "Seconds that one stage may take."),
        Key(
            "release_artifacts_urls",
            "list",
            [],
            "Release archives for final mode: file, http(s) or ssh urls.",
        ),
        Key("sign_with", "text", "{project_dir}/.corpus/release_key", "Private ssh key that releases are signed with."),
        Key("trusted_keys", "list", [], "Public ssh keys whose releases are taken in final mode."),
        Key(
            "require_signature",
            "yes or no",
            None,
            "Refuse releases that no trusted key signed; not set: when trusted_keys has any.",
        ),
        Key(
            "relocatable",
            "yes or no",
            None,
            "Whether releases work at another path or under another name; not set: looked for in the tree.",
        ),
        Key(
            "system_packages",
            "list or mapping",
            [],
            "Packages of the system that the project needs: a list, or lists by os_family or os.",
        ),
        Key(
            "system_packages_install",
            "yes or no",
            None,
            "Whether missing system packages are installed or only told; not set: installed when root.",
        ),
        Key(
            "watch",
            "mapping",
            {
                ".salt/**": ["all"],
                ".salt/upgrades/**": ["upgrade"],
                "app.json": ["all"],
                "Procfile": ["activate"],
                ".env*": ["activate"],
                "requirements*.txt": ["configure", "build"],
                "requirements/": ["configure", "build"],
                "pyproject.toml": ["configure", "build"],
                "setup.py": ["configure", "build"],
                "setup.cfg": ["configure", "build"],
                "Pipfile": ["configure", "build"],
                ".python-version": ["configure", "build"],
                "package.json": ["configure", "build"],
                "package-lock.json": ["configure", "build"],
                "pnpm-lock.yaml": ["configure", "build"],
                "composer.json": ["configure", "build"],
                "buildout.cfg": ["configure", "build"],
                "*.lock": ["configure", "build"],
                "migrations/": ["upgrade"],
                "**": ["activate"],
            },
            "Stages by the files that concern them (globs as in .gitignore), for mc_project.watch; ** is the rest.",
        ),
        Key("watch_ignore", "list", [], "Files that mc_project.watch does not look at, as in .gitignore."),
        Key("keep_archives", "whole number", 5, "Archives to keep."),
        Key("keep_releases", "whole number", 5, "Releases, and their deployments' trees or archives, to keep."),
        Key("keep_trees", "whole number", 1, "Whole trees kept for a rollback in constant time."),
        Key("keep_failed", "whole number", 2, "Failed trees to keep."),
        Key("archive_data", "yes or no", True, "Whether archives hold data/ too."),
        Key("minimum_free", "whole number", 64, "MiB that must stay free beside what an archive takes."),
        Key(
            "enlarge_function",
            "text",
            "mc_guest.enlarge",
            "Execution function that is asked for more storage.",
        ),
        Key("notify_methods", "list", ["stdout"], "stdout, mail, webhook."),
        Key("notify", "mapping", {}, "Settings of the methods: mail (to, from, host, port…), webhook (url)."),
        Key("defaults", "mapping", {}, "Weakest values of any key."),
        Key("env_defaults", "mapping", {}, "Values of any key by environment."),
        Key("os_defaults", "mapping", {}, "Values of any key by os_family and os."),
        Key("data", "mapping", {}, "The application's own settings; free for its sls."),
        Key("data_root", "text", "{project_dir}/data", "Persistent data."),
        *_skips(),
        Key("project_dir", "text", None, "The project's folder.", fixed=True),
        Key("project_root", "text", None, "The runtime tree.", fixed=True),
        Key("salt_root", "text", None, "The runtime tree's .salt.", fixed=True),
        Key(
            "previous_root",
            "text",
            None,
            "While a new version is built: the tree that runs, for reading.",
            fixed=True,
        ),
        Key("pillar_root", "text", None, "The clone of the pillar.", fixed=True),
        Key("build_root", "text", None, "Scratch space of the build stage.", fixed=True),
        Key("deploy_root", "text", None, "Where releases are put together and unpacked.", fixed=True),
        Key("archives_root", "text", None, "Archives of what ran.", fixed=True),
        Key("releases_root", "text", None, "Releases.", fixed=True),
        Key("git_root", "text", None, "Bare repositories.", fixed=True),
        Key("project_git_root", "text", None, "Repository the application is pushed to.", fixed=True),
        Key("pillar_git_root", "text", None, "Repository the pillar is pushed to.", fixed=True),
        Key("home", "text", None, "Home of the project's user.", fixed=True),
        Key("current_archive_dir", "text", None, "Archive of this deployment.", fixed=True),
        Key("current_release_dir", "text", None, "Release of this deployment.", fixed=True),
        Key("sls_includes", "mapping", {}, "The installer's sls for each of the project's.", fixed=True),
        Key(
            "deployment",
            "mapping",
            {},
            "id, kind, revision, who, result and stages of this deployment.",
            fixed=True,
        ),
        Key("rollback", "yes or no", False, "Whether a rollback is under way.", fixed=True),
    )
}

_CHOICES = {
    "operation_mode": workflow.MODES,
    "default_env": ("dev", "staging", "prod"),
    "services_during_build": ("keep", "stop"),
}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
#: ``{}domain}`` stands for the text ``{domain}``: a closing brace more, and it is no placeholder
_QUOTED = re.compile(r"\{\}(\}*[a-z_]+\})")
#: the part of the settings whose values are all encrypted where they are saved
_SEALED = ("env",)


@dataclass(frozen=True)
class Layer:
    """Values from one place.

    :param source: the place, in words for a person
    :param values: configuration keys and values
    """

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """An assembled configuration.

    :param values: the whole ``cfg``
    :param sources: where each value came from, by dotted key (``data.port``)
    :param installer: folder of the installer, absolute
    :param pack: folder that holds the installers and macros to render with: this pack's, or those of a release
    :param found: what the tree says of itself, when the installer was looked for in it and something was found
    :param declared: what the tree declares whatever its installer is
    :param looked: whether the installer was looked for in the tree
    """

    values: dict[str, Any]
    sources: dict[str, str]
    installer: Path
    pack: Path
    found: Found | None = None
    declared: Declared = field(default_factory=lambda: Declared({}))
    looked: bool = False

    def explained(self) -> dict[str, dict[str, Any]]:
        """Return ``{dotted key: {"value": …, "from": …}}``."""
        return {key: {"value": _leaf(self.values, key), "from": source} for key, source in sorted(self.sources.items())}


def assemble(
    layout: Layout,
    *,
    grains: Mapping[str, Any],
    pillar: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    salt_root: Path | None = None,
    privileged: bool = False,
    with_installer: bool = True,
) -> Configuration:
    """Put a project's configuration together.

    :param grains: the minion's grains (os, os_family, addresses, ``makina-projects.<name>``)
    :param pillar: the minion's pillar with the project's own merged in
    :param settings: saved settings; None reads them
    :param kwargs: what the caller sets for this call
    :param sample: the values of ``.salt/PILLAR.sample``
    :param salt_root: the ``.salt`` to look for the installer in; None: the running tree's
    :param privileged: whether corpus runs as root, with a user of the project's own
    :param with_installer: look for the installer, too; without, its defaults do not count
    :raises ConfigurationError: unknown key, wrong type, unresolvable placeholder, no such installer
    """
    salt_root = salt_root or layout.salt
    settings = stored_settings(layout) if settings is None else settings
    above = [
        Layer("registry", {"env": registry.environment(layout)}),
        Layer(".salt/PILLAR.sample", _checked(sample or {}, ".salt/PILLAR.sample")),
        Layer("pillar", _checked(_project_part(pillar, layout.name), f"pillar {PREFIX}{layout.name}")),
        Layer("grains", _checked(_project_part(grains, layout.name), f"grain {PREFIX}{layout.name}")),
        Layer("saved settings", _checked(settings, "the saved settings")),
        Layer("arguments", _checked(kwargs or {}, "the arguments")),
    ]
    base = Layer("default", {key.name: copy.deepcopy(key.default) for key in KEYS.values()})
    # What chooses a layer stands in others: look there first.
    chosen, _ = _merged([base, *above])
    lowest = [base, Layer("defaults", _checked(chosen["defaults"], "defaults"))]
    chosen = _with_environment([*lowest, *above])
    chosen, sources = _merged([*lowest, *_selected(chosen, grains), *above])
    asked, version = _installer(chosen) if with_installer else (installers.PLAIN, chosen["api_version"])
    # Production renders a release with what staging had, and looks for nothing.
    brought = closure.within(salt_root) if with_installer and chosen["operation_mode"] == workflow.FINAL else None
    seen = None
    declares = declared.read(salt_root.parent) if with_installer else Declared({})
    if brought:
        installer = closure.checked(brought, asked, sources["installer"])
        folder = brought.place
    else:
        seen = found.look(salt_root.parent, installers.official(version)) if asked == installers.AUTO else None
        installer = asked if asked != installers.AUTO else seen.installer if seen else installers.PLAIN
        folder = installers.find(installer, version, salt_root)
    lowest.append(Layer(f"installer {installer}", _checked(installers.defaults(folder), f"{folder}/defaults.yaml")))
    if with_installer:
        told = (brought or seen or Found(installer, "", found.values(salt_root.parent, installer))).values
        if declares.processes:
            told = {key: value for key, value in told.items() if key != "processes"}
        lowest.append(Layer("found in the tree", _checked(told, "what was found in the tree")))
        lowest += [Layer(name, _checked(values, name)) for name, values in declares.values.items()]
    chosen = _with_environment([*lowest, *above])
    values, sources = _merged([*lowest, *_selected(chosen, grains), *above])
    if with_installer and _installer(values) != (asked, version):
        raise ConfigurationError(f"{folder}/defaults.yaml: an installer cannot choose another one, or another API.")
    for key, value in _fixed(layout, values, grains, privileged).items():
        values[key] = value
        sources[key] = "computed"
    if values["default_env"] is None:
        values["default_env"] = chosen["default_env"]
        sources["default_env"] = "operation_mode"
    if with_installer and asked == installers.AUTO:
        values["installer"] = installer
        why = seen.why if seen else "the release was made with it" if brought else "nothing to recognize in the tree"
        sources["installer"] = f"auto: {why}"
    _resolve(values, {path for path, source in sources.items() if source in declares.values})
    for key in ("project_branch", "pillar_branch"):
        identifiers.branch_name(values[key])
    formation.check_scale(values["scale"])
    formation.check_limits(values["limits"])
    return Configuration(
        values,
        sources,
        folder,
        brought.folder if brought else installers.official_root(),
        found=seen,
        declared=declares,
        looked=with_installer and asked == installers.AUTO and not brought,
    )


def stored_settings(layout: Layout) -> dict[str, Any]:
    """Return what was set explicitly, decrypted."""
    opened = secrets.Vault(layout.key).opened(files.read_json(layout.settings, {}))
    return dict(opened)


def store_settings(layout: Layout, settings: Mapping[str, Any]) -> bool:
    """Save explicit settings (0600, secrets encrypted); return whether they changed."""
    if layout.settings.exists() and stored_settings(layout) == dict(settings):
        return False
    return files.write_json(layout.settings, secrets.Vault(layout.key).sealed(dict(settings), always=_SEALED))


def sealed_settings(layout: Layout) -> dict[str, Any]:
    """Return what was set explicitly as it is saved, secrets encrypted."""
    return dict(files.read_json(layout.settings, {}))


def restore_settings(layout: Layout, sealed: Mapping[str, Any]) -> bool:
    """Save again what :func:`sealed_settings` returned earlier; return whether that changed anything."""
    return files.write_json(layout.settings, sealed)


def keep_environment(layout: Layout, release: str) -> None:
    """Note, sealed, with which saved environment a release was deployed, for a rollback to it."""
    files.write_json(layout.environment(release), sealed_settings(layout).get("env", {}))


def kept_environment(layout: Layout, release: str) -> dict[str, Any] | None:
    """Return the saved environment that a release was deployed with, decrypted, or None when that was not noted."""
    sealed = files.read_json(layout.environment(release))
    return None if sealed is None else dict(secrets.Vault(layout.key).opened(sealed))


def quoted(value: str) -> str:
    """Return a text so written that no part of it is taken for a placeholder.

    >>> quoted("{domain}")
    '{}domain}'
    """
    return re.sub(r"\{(\}*[a-z_]+\})", r"{}\1", value)


def unquoted(value: str) -> str:
    """Take back what :func:`quoted` did."""
    return _QUOTED.sub(r"{\1", value)


def store_snapshot(layout: Layout, cfg: Mapping[str, Any], redactor: secrets.Redactor) -> None:
    """Save the whole configuration as it was deployed, secrets masked: they come from the pillar again."""
    files.write_json(layout.snapshot, redactor.tree(cfg))


def checked_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` when each is a key that may be set, with the right type.

    :raises ConfigurationError: the first that is not, with the nearest known key
    """
    return _checked(values, "the arguments")


def _project_part(tree: Mapping[str, Any], name: str) -> object:
    flat = tree.get(PREFIX + name)
    nested = tree.get(PREFIX.rstrip("."))
    return flat if flat is not None else (nested.get(name) if isinstance(nested, Mapping) else None)


def _with_environment(layers: Iterable[Layer]) -> dict[str, Any]:
    chosen, _ = _merged(layers)
    chosen["default_env"] = chosen["default_env"] or workflow.ENVIRONMENTS[chosen["operation_mode"]]
    return chosen


def _installer(chosen: Mapping[str, Any]) -> tuple[str, int]:
    for key in ("installer", "api_version"):
        if isinstance(chosen[key], str) and _PLACEHOLDER.search(chosen[key]):
            raise ConfigurationError(f"{key}: it is needed before placeholders are known: write it out.")
    return chosen["installer"], chosen["api_version"]


def _selected(chosen: Mapping[str, Any], grains: Mapping[str, Any]) -> Iterator[Layer]:
    """The layers for this environment and this system. Those of others are checked, too: nobody waits for them to fail."""
    environments = _all_checked(chosen, "env_defaults")
    systems = _all_checked(chosen, "os_defaults")
    if chosen["default_env"] in environments:
        yield environments[chosen["default_env"]]
    for grain in ("os_family", "os"):
        if grains.get(grain) in systems:
            yield systems[grains[grain]]


def _all_checked(chosen: Mapping[str, Any], key: str) -> dict[Any, Layer]:
    if not isinstance(chosen[key], Mapping):
        raise ConfigurationError(f"{key} must be a mapping, not {identifiers.shown(chosen[key])}.")
    return {name: Layer(f"{key}[{name}]", _checked(values, f"{key}[{name}]")) for name, values in chosen[key].items()}


def _checked(values: object, where: str) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{where} must be a mapping of configuration keys, not {identifiers.shown(values)}.")
    checked = {}
    for name, value in values.items():
        key = KEYS.get(name) if isinstance(name, str) else None
        if key is None:
            raise ConfigurationError(f"{where}: there is no key {identifiers.shown(name)}{_nearest(name)}")
        if key.fixed:
            raise ConfigurationError(f"{where}: {name} is computed by corpus and cannot be set.")
        alone = key.kind.startswith("list") and isinstance(value, str) and not _PLACEHOLDER.fullmatch(value)
        checked[key.name] = [value] if alone else _plain(value)  # one text is a list of one
        _check_type(key, checked[key.name], where)
    return checked


def _check_type(key: Key, value: object, where: str) -> None:
    kinds = _TYPES[key.kind]
    right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if isinstance(value, Mapping) and key.kind.endswith("mapping"):
        right = True
    if value is None or right or (isinstance(value, str) and _PLACEHOLDER.search(value)):
        choices = _CHOICES.get(key.name)
        if choices and value is not None and value not in choices:
            raise ConfigurationError(
                f"{where}: {key.name} is one of {', '.join(choices)}, not {identifiers.shown(value)}."
            )
        if isinstance(value, (int, float)) and not 0 <= value < math.inf:
            raise ConfigurationError(f"{where}: {key.name} cannot be negative or endless ({value}).")
        return
    raise ConfigurationError(
        f"{where}: {key.name} is a {'number of ' if key.kind == 'seconds' else ''}{key.kind}, not {identifiers.shown(value)} ({type(value).__name__})."
    )


def _nearest(name: object) -> str:
    settable = [key.name for key in KEYS.values() if not key.fixed]
    near = difflib.get_close_matches(str(name)[:80], settable, n=1, cutoff=0.55)
    return f": did you mean {near[0]!r}?" if near else "; the application's own settings go under 'data'."


def _merged(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            _merge(values, sources, key, value, layer.source, key)
    return values, sources


def _merge(into: dict[str, Any], sources: dict[str, str], key: str, value: Any, source: str, path: str) -> None:
    """Mappings merge key by key; everything else replaces what was there; None brings a key's default back."""
    if value is None and path in KEYS:
        value = copy.deepcopy(KEYS[path].default)
    elif isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
        if value:
            sources.pop(path, None)
        for inner, leaf in value.items():
            _merge(into[key], sources, inner, leaf, source, f"{path}.{inner}")
        return
    for old in [known for known in sources if known == path or known.startswith(path + ".")]:
        del sources[old]
    into[key] = _plain(value)
    for leaf_path in _leaves(value, path):
        sources[leaf_path] = source


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for inner, leaf in value.items():
            yield from _leaves(leaf, f"{path}.{inner}")
    else:
        yield path


def _leaf(values: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a dotted path; keys may hold dots themselves, or be numbers."""
    for key, value in values.items():
        if str(key) == path:
            return value
        if isinstance(value, Mapping) and path.startswith(f"{key}."):
            found = _leaf(value, path.removeprefix(f"{key}."))
            if found is not None:
                return found
    return None


def _plain(value: Any) -> Any:
    """A copy of plain dicts and lists: Salt's ordered and masked mappings do not travel well."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _fixed(layout: Layout, values: Mapping[str, Any], grains: Mapping[str, Any], privileged: bool) -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "name": layout.name,
        "project_dir": str(layout.folder),
        "project_root": str(layout.project),
        "salt_root": str(layout.salt),
        "pillar_root": str(layout.pillar),
        "build_root": str(layout.build),
        "deploy_root": str(layout.deploy),
        "archives_root": str(layout.archives),
        "releases_root": str(layout.releases),
        "git_root": str(layout.git),
        "project_git_root": str(layout.project_git),
        "pillar_git_root": str(layout.pillar_git),
        "home": str(layout.home),
        "sls_includes": installers.includes(),
    }
    if values["main_ip"] is None:
        fixed["main_ip"] = _main_address(grains)
    if values["http_port"] is None:
        fixed["http_port"] = 80 if privileged else 8080
    if values["https_port"] is None:
        fixed["https_port"] = 443 if privileged else 8443
    if values["http_address"] == "{default_http_address}":
        fixed["http_address"] = "*" if privileged else "127.0.0.1"
    return fixed


def _main_address(grains: Mapping[str, Any]) -> str:
    addresses = [address for address in grains.get("ipv4") or [] if not str(address).startswith("127.")]
    if addresses:
        return str(addresses[0])
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def _resolve(values: dict[str, Any], literal: Container[str] = ()) -> None:
    """Replace ``{key}`` in every text by the key's value; a text that is one placeholder takes the value's type.

    :param literal: dotted keys whose values are taken as they are
    """

    def resolved(value: Any, path: str, seen: tuple[str, ...]) -> Any:
        if path in literal:
            return value
        if isinstance(value, dict):
            return {key: resolved(inner, f"{path}.{key}", seen) for key, inner in value.items()}
        if isinstance(value, list):
            return [resolved(inner, path, seen) for inner in value]
        if not isinstance(value, str):
            return value

        def known(name: str) -> Any:
            if name in seen:
                raise ConfigurationError(f"{path}: the placeholder {{{name}}} leads back to itself.")
            return resolved(values[name], name, (*seen, name))

        whole = _PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in KEYS:
            return known(whole[1])
        parts = _QUOTED.split(value)  # what is quoted stands at every second place
        return "".join(
            "{" + part
            if number % 2
            else _PLACEHOLDER.sub(lambda found: _text(known(found[1])) if found[1] in KEYS else found[0], part)
            for number, part in enumerate(parts)
        )

    for key in list(values):
        values[key] = resolved(values[key], key, (key,))
        if key in KEYS and not KEYS[key].fixed:
            _check_type(KEYS[key], values[key], key)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
