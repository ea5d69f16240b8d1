"""``app.json``: what an application says of itself to Heroku and Dokku, in words of our configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from corpus.errors import ConfigurationError
from corpus.project import manifests

NAME = "app.json"
#: what corpus itself gives to processes
_OURS = frozenset({"PORT", "DATA_ROOT", "HOME"})
#: numbers of a healthcheck
_WAITS = ("attempts", "timeout", "wait", "initialDelay")
#: what a healthcheck asks, and our word for it
_ASKED = {"path": "path", "command": "command", "content": "contains"}
_DATABASES = {
    "heroku-postgresql": "a PostgreSQL database",
    "jawsdb": "a MySQL database",
    "cleardb": "a MySQL database",
    "jawsdb-maria": "a MariaDB database",
}


def read(tree: Path, types: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration keys that a tree's ``app.json`` sets, and lines about what of it does not apply here.

    :param types: command lines by process type, of the ``Procfile``
    :raises ConfigurationError: it is no JSON object, or a part of it is not as its schema has it
    """
    content = manifests.small_text(tree, NAME)
    if content is None:
        return {}, []
    try:
        app = json.loads(content)
    except json.JSONDecodeError as err:
        raise ConfigurationError(f"{NAME}, line {err.lineno}, column {err.colno}: it is no JSON: {err.msg}.") from err
    except RecursionError as err:
        raise ConfigurationError(f"{NAME} is nested too deeply.") from err
    if not isinstance(app, dict):
        raise ConfigurationError(f"{NAME} must hold an object.")
    values: dict[str, Any] = {}
    notes: list[str] = []
    for read_part in (_env, _scripts, _healthchecks, _cron, _addons):
        read_part(app, values, notes.append)
    _formation(app, types, values, notes.append)
    return values, notes


def _part(app: Mapping[str, Any], name: str, kind: Callable[[], Any]) -> Any:
    value = app.get(name)
    if value is None:
        return kind()
    if not isinstance(value, type(kind())):
        raise ConfigurationError(f"{NAME}: {name} must be {'an object' if kind is dict else 'a list'}.")
    return value


def _env(app: Mapping[str, Any], values: dict[str, Any], say: Callable[[str], None]) -> None:
    env: dict[str, str] = {}
    required, made = [], []
    for name, entry in _part(app, "env", dict).items():
        if name in _OURS:
            say(f"{NAME}: {name} is given to processes by corpus itself; its value there is not used.")
        elif isinstance(entry, (str, int, float)):
            env[name] = str(entry)
        elif not isinstance(entry, dict):
            raise ConfigurationError(f"{NAME}: env: {name} must be a text or an object.")
        elif entry.get("generator") == "secret":
            made.append(name)
        elif entry.get("generator") is not None:
            raise ConfigurationError(f"{NAME}: env: {name}: there is no generator but 'secret'.")
        elif entry.get("value") is not None:
            env[name] = str(entry["value"])
        elif entry.get("required", True):
            required.append(name)
    values.update(_present(env=env, required_env=required, secret_env=made))


def _scripts(app: Mapping[str, Any], values: dict[str, Any], _: Callable[[str], None]) -> None:
    """Heroku's ``postdeploy`` is run once in an application's life, Dokku's ``predeploy`` and ``postdeploy`` each time."""
    scripts = _part(app, "scripts", dict)
    dokku = scripts.get("dokku") or {}
    if not isinstance(dokku, dict):
        raise ConfigurationError(f"{NAME}: scripts: dokku must be an object.")
    told = {
        "setup": scripts.get("postdeploy"),
        "predeploy": dokku.get("predeploy"),
        "postdeploy": dokku.get("postdeploy"),
    }
    for name, command in told.items():
        if command is not None and not isinstance(command, str):
            raise ConfigurationError(f"{NAME}: scripts: {name} must be a command line.")
    values.update(_present(scripts={name: command for name, command in told.items() if command}))


def _healthchecks(app: Mapping[str, Any], values: dict[str, Any], say: Callable[[str], None]) -> None:
    """The first check of ``web`` at startup becomes ours; as many questions as it allows are asked in the same time."""
    checks = _part(app, "healthchecks", dict)
    web = checks.get("web", [])
    if not isinstance(web, list) or not all(isinstance(check, dict) for check in web):
        raise ConfigurationError(f"{NAME}: healthchecks: web must be a list of objects.")
    startup = [
        check for check in web if check.get("type", "startup") == "startup" and ("path" in check or "command" in check)
    ]
    if len(startup) != len(web) or set(checks) - {"web"}:
        say(f"{NAME}: of the healthchecks, only those of web at startup that have a path or a command are used.")
    if not startup:
        return
    first = startup[0]
    left = sorted(set(first) - {"type", "name", "path", "command", "content", *_WAITS})
    if left or len(startup) > 1:
        say(f"{NAME}: of the healthcheck, {', '.join(map(str, left)) or 'what follows the first'} is not used.")
    waits = {key: first[key] for key in _WAITS if key in first}
    if not all(isinstance(number, (int, float)) and number >= 0 for number in waits.values()):
        raise ConfigurationError(f"{NAME}: healthchecks: {', '.join(_WAITS)} are numbers.")
    check = {ours: first[theirs] for theirs, ours in _ASKED.items() if first.get(theirs)}
    if waits:
        each = waits.get("timeout", 5) + waits.get("wait", 5)
        check["timeout"] = waits.get("initialDelay", 0) + waits.get("attempts", 3) * each
    values["healthcheck"] = {**check, **({"wait": waits["initialDelay"]} if waits.get("initialDelay") else {})}


def _cron(app: Mapping[str, Any], values: dict[str, Any], _: Callable[[str], None]) -> None:
    entries = _part(app, "cron", list)
    for entry in entries:
        texts = isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("command", "schedule"))
        if not texts:
            raise ConfigurationError(f"{NAME}: cron: each entry has a command and a schedule.")
    values.update(_present(cron=[{key: entry[key] for key in ("command", "schedule")} for entry in entries]))


def _addons(app: Mapping[str, Any], _: dict[str, Any], say: Callable[[str], None]) -> None:
    if app.get("buildpacks"):
        say(f"{NAME}: buildpacks are not used; the key installer chooses how the application is built.")
    for addon in _part(app, "addons", list):
        plan = addon.get("plan") if isinstance(addon, dict) else addon
        name = str(plan).partition(":")[0]
        what = _DATABASES.get(name)
        say(
            f"{NAME}: the application wants {what} ({name}): make one, and set DATABASE_URL in the key env."
            if what
            else f"{NAME}: there is no addon {name[:60]!r} here: give the application what it needs of it in the key env."
        )


def _formation(
    app: Mapping[str, Any], types: Mapping[str, str], values: dict[str, Any], say: Callable[[str], None]
) -> None:
    scale = {}
    for kind, entry in _part(app, "formation", dict).items():
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{NAME}: formation: {kind} must be an object.")
        if entry.get("size"):
            say(f"{NAME}: the size {str(entry['size'])[:40]!r} of {kind} is not used.")
        quantity = entry.get("quantity", 1)
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0:
            raise ConfigurationError(f"{NAME}: formation: the quantity of {kind} is a whole number.")
        if kind in types:
            scale[kind] = quantity
        elif quantity != 1:
            say(f"{NAME}: formation: the Procfile has no {kind}; its quantity is not used.")
    values.update(_present(scale=scale))


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
