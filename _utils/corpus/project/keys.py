"""What can be configured: the keys, and what each may hold."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from corpus import identifiers
from corpus.errors import ConfigurationError
from corpus.project import installers, workflow

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
#: ``{key}`` in a text: the value of that key
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def checked(values: object, where: str) -> dict[str, Any]:
    """Return ``values`` when each is a key that may be set, with the right type; a text where a list belongs becomes one.

    :param where: the place they come from, in words for a person
    :raises ConfigurationError: the first that is not, with the nearest known key
    """
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
        alone = key.kind.startswith("list") and isinstance(value, str) and not PLACEHOLDER.fullmatch(value)
        checked[key.name] = [value] if alone else plain(value)  # one text is a list of one
        check(key, checked[key.name], where)
    return checked


def check(key: Key, value: object, where: str) -> None:
    """Check one value of a key; what holds a placeholder is not known yet, and may be anything.

    :raises ConfigurationError: it is of another type, none of the key's choices, negative or endless
    """
    kinds = _TYPES[key.kind]
    right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if isinstance(value, Mapping) and key.kind.endswith("mapping"):
        right = True
    if value is None or right or (isinstance(value, str) and PLACEHOLDER.search(value)):
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


def plain(value: Any) -> Any:
    """Return a copy of plain dicts and lists: Salt's ordered and masked mappings do not travel well."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value
