"""What a PHP application asks of this machine: a version of PHP, extensions, Composer; and its web process."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from corpus import identifiers, processes
from corpus.errors import ConfigurationError, CorpusError, MissingTool
from corpus.project.python import interpreters
from corpus.project.running import php as web

#: folder of the tree with the launcher, its names, and what it reads
FOLDER = ".php-web"
#: names the launcher is called by; the last two are those of Heroku's buildpack
COMMANDS = ("php-web", "heroku-php-nginx", "heroku-php-apache2")

#: Debian's package, php<version>-<this>, for extensions that are not packaged under their own name; empty: PHP itself
_PACKAGES = {
    **dict.fromkeys(("dom", "simplexml", "xmlreader", "xmlwriter", "xsl", "libxml"), "xml"),
    **dict.fromkeys(("mysqli", "mysqlnd", "pdo_mysql"), "mysql"),
    **dict.fromkeys(("pdo_pgsql",), "pgsql"),
    **dict.fromkeys(("pdo_sqlite",), "sqlite3"),
    **dict.fromkeys(("pdo_odbc",), "odbc"),
    **dict.fromkeys(
        [
            "calendar",
            "ctype",
            "date",
            "exif",
            "ffi",
            "fileinfo",
            "filter",
            "ftp",
            "gettext",
            "hash",
            "iconv",
            "json",
            "openssl",
            "pcntl",
            "pcre",
            "pdo",
            "phar",
            "posix",
            "random",
            "reflection",
            "session",
            "shmop",
            "sockets",
            "sodium",
            "spl",
            "standard",
            "sysvmsg",
            "sysvsem",
            "sysvshm",
            "tokenizer",
            "zlib",
        ],
        "common",
    ),
}
_INI_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
_POOL = {
    "pm": re.compile("static|dynamic|ondemand"),
    **dict.fromkeys(
        (
            *("pm.max_children", "pm.start_servers", "pm.min_spare_servers", "pm.max_spare_servers"),
            *("pm.max_requests", "rlimit_files", "request_slowlog_trace_depth"),
        ),
        re.compile("[0-9]{1,6}"),
    ),
    **dict.fromkeys(
        ("pm.process_idle_timeout", "request_terminate_timeout", "request_slowlog_timeout"),
        re.compile("[0-9]{1,6}[smhd]?"),
    ),
}
#: files and folders of a tree that are nobody's business when the tree itself is the document root
_HIDDEN = [
    "vendor",
    "node_modules",
    "Procfile",
    "app.json",
    "composer.json",
    "composer.lock",
    "package.json",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "Makefile",
    "Dockerfile",
    "README.md",
]


@dataclass(frozen=True)
class Php:
    """A PHP of this machine.

    :param version: ``8.2.36``
    :param fpm: absolute path of php-fpm
    :param cli: absolute path of php
    """

    version: str
    fpm: str
    cli: str

    @property
    def short(self) -> str:
        """``8.2``, as Debian's packages are named."""
        return ".".join(self.version.split(".")[:2])


def installed() -> list[Php]:
    """Return every PHP of this machine that has both php-fpm and a command line, newest first."""
    found: dict[str, Php] = {}
    for folder in ("/usr/local/sbin", "/usr/sbin"):
        for fpm in sorted(Path(folder).glob("php-fpm*")):
            suffix = fpm.name.removeprefix("php-fpm")
            cli = fpm.parent.parent / "bin" / f"php{suffix}"
            if re.fullmatch(r"([0-9]+\.[0-9]+)?", suffix) and cli.exists():
                said = processes.run([fpm, "-v"], check=False).output
                version = re.match(r"PHP ([0-9]+(?:\.[0-9]+)+)", said)
                if version:
                    found.setdefault(version[1], Php(version[1], str(fpm), str(cli)))
    return sorted(found.values(), key=lambda php: _numbers(php.version), reverse=True)


def chosen(tree: Path, wanted: object) -> Php:
    """Return the PHP for an application: the newest one here that satisfies ``composer.json`` and the configuration.

    :param wanted: a version constraint from the configuration (``8.2``: any 8.2), or None
    :raises CorpusError: there is none; the message says what is asked for, and what there is
    """
    constraints = dict(_constraints(tree))
    if wanted is not None:
        text = str(wanted)
        constraints["data.php.version"] = f"{text}.*" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text
    here = installed()
    if not here:
        raise MissingTool(
            "php-fpm is not installed: install it first (Debian, Ubuntu: apt-get install php-fpm php-cli)."
        )
    for php in here:
        if all(satisfies(php.version, constraint) for constraint in constraints.values()):
            return php
    asks = " and ".join(f"PHP {constraint} ({where})" for where, constraint in constraints.items())
    versions = ", ".join(php.version for php in here)
    raise CorpusError(f"The application asks for {asks}, and this machine has {versions}: install another php-fpm.")


def _constraints(tree: Path) -> Iterable[tuple[str, str]]:
    for name, document in (("composer.json", composer_json(tree)), ("composer.lock", composer_lock(tree))):
        constraint = document.get("require" if name == "composer.json" else "platform") or {}
        if isinstance(constraint, Mapping) and isinstance(constraint.get("php"), str):
            yield name, constraint["php"]


def composer_json(tree: Path) -> dict[str, Any]:
    """Return what ``composer.json`` says; empty when there is none.

    :raises CorpusError: it is no JSON mapping
    """
    return _document(tree / "composer.json")


def composer_lock(tree: Path) -> dict[str, Any]:
    """Return what ``composer.lock`` says; empty when there is none.

    :raises CorpusError: it is no JSON mapping
    """
    return _document(tree / "composer.lock")


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as err:
        raise CorpusError(f"{path.name} is not JSON: {err}.") from err
    if not isinstance(document, dict):
        raise CorpusError(f"{path.name} must hold a JSON object.")
    return document


def satisfies(version: str, constraint: str) -> bool:
    """Tell whether a version satisfies a constraint as Composer writes it (``^8.1 || ~7.4.2``, ``>=8.1 <8.4``, ``8.*``).

    :raises CorpusError: it cannot be read
    """
    return any(_all(version, alternative) for alternative in re.split(r"\|\|?", constraint))


def _all(version: str, constraint: str) -> bool:
    constraint = constraint.strip()
    hyphen = re.fullmatch(r"(\S+)\s+-\s+(\S+)", constraint)
    if hyphen:
        upper = f"<={hyphen[2]}" if hyphen[2].count(".") >= 2 else f"<{_next(hyphen[2], -1)}"
        return _all(version, f">={hyphen[1]} {upper}")
    joined = re.sub(r"(>=|<=|!=|==|[=><^~])\s+", r"\1", constraint)
    return all(_one(version, part) for part in re.split(r"[\s,]+", joined) if part)


def _one(version: str, part: str) -> bool:
    read = re.fullmatch(r"(>=|<=|!=|==|[=><^~])?v?((?:[0-9]+\.)*(?:[0-9]+|[*xX]))(?:[@-][A-Za-z0-9.]+)?", part)
    if not read:
        raise CorpusError(f"PHP: the version constraint {identifiers.shown(part)} cannot be read.")
    operator, wanted = read[1], read[2]
    if wanted[-1] in "*xX":
        prefix = wanted[:-1].rstrip(".")
        return not prefix or _between(version, prefix, _next(prefix, -1))
    if operator == "^":
        numbers = wanted.split(".")
        significant = next((place for place, number in enumerate(numbers) if number != "0"), len(numbers) - 1)
        return _between(version, wanted, _next(wanted, significant))
    if operator == "~":
        return _between(version, wanted, _next(wanted, -2 if "." in wanted else -1))
    order = _order(version, wanted)
    return {
        ">=": order >= 0,
        "<=": order <= 0,
        ">": order > 0,
        "<": order < 0,
        "!=": order != 0,
    }.get(operator or "=", order == 0)


def _between(version: str, lower: str, upper: str) -> bool:
    return _order(version, lower) >= 0 and _order(version, upper) < 0


def _next(version: str, place: int) -> str:
    """Return the version after all that share ``version`` up to a place."""
    numbers = version.split(".")
    kept = numbers[: place + 1 or None]
    return ".".join([*kept[:-1], str(int(kept[-1]) + 1)])


def _order(one: str, other: str) -> int:
    pairs = list(zip_longest(_numbers(one), _numbers(other), fillvalue=0))
    return next((1 if ours > theirs else -1 for ours, theirs in pairs if ours != theirs), 0)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


@dataclass(frozen=True)
class Shape:
    """How an application lies in its tree; all paths are relative to the tree.

    :param kind: in words
    :param document_root: what is served
    :param kept: folders that it writes and that outlive a release
    :param of_release: folders inside of those that each release makes anew
    :param uploads: kept folders in which no PHP may run
    """

    kind: str
    document_root: str
    kept: tuple[str, ...] = ()
    of_release: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


def shape(tree: Path, document_root: str | None = None) -> Shape:
    """Look how an application lies in its tree.

    :param document_root: from the configuration, instead of the one that is found
    """
    wanted = composer_json(tree)
    packages = set(wanted.get("require") or {})
    root = document_root or _document_root(tree, wanted)
    below = "" if root == "." else f"{root}/"
    if packages & {"drupal/core", "drupal/core-recommended"} or (tree / f"{below}core/lib/Drupal.php").is_file():
        uploads = f"{below}sites/default/files"
        return Shape("Drupal", root, (uploads,), (f"{uploads}/php", f"{uploads}/css", f"{uploads}/js"), (uploads,))
    if (tree / "artisan").is_file():
        return Shape("Laravel", root, ("storage",), ("storage/framework/views",), ("storage",))
    if (tree / "bin/console").is_file() or "symfony/framework-bundle" in packages:
        return Shape("Symfony", root, ("var",), ("var/cache",), ())
    if (tree / f"{below}wp-includes").is_dir() or (tree / f"{below}wp-content").is_dir():
        uploads = f"{below}wp-content/uploads"
        return Shape("WordPress", root, (uploads,), (), (uploads,))
    return Shape("PHP", root)


def _document_root(tree: Path, wanted: Mapping[str, Any]) -> str:
    extra = wanted.get("extra")
    scaffold = extra.get("drupal-scaffold") if isinstance(extra, Mapping) else None
    locations = scaffold.get("locations") if isinstance(scaffold, Mapping) else None
    if isinstance(locations, Mapping) and isinstance(locations.get("web-root"), str):
        return locations["web-root"].strip("./") or "."
    for folder in ("public", "web", "html", "docroot", "htdocs"):
        if any((tree / folder / name).is_file() for name in ("index.php", "index.html")):
            return folder
    return "."


def check_extensions(tree: Path, php: Php) -> None:
    """Check that every extension which ``composer.json`` and the locked packages require is there.

    :raises CorpusError: some are not; the message names them and Debian's packages
    """
    lock = composer_lock(tree)
    packages = [package for package in lock.get("packages") or [] if isinstance(package, Mapping)]
    documents = [composer_json(tree), *packages]
    required = {name for document in documents for name in document.get("require") or {} if name.startswith("ext-")}
    for package in packages:  # a polyfill stands for an extension
        required -= {*(package.get("provide") or {}), *(package.get("replace") or {})}
    here = _extensions(php)
    missing = sorted(name[4:] for name in required if name[4:].lower().replace("-", "_") not in here)
    if missing:
        names = sorted({f"php{php.short}-{_PACKAGES.get(name.lower(), name.lower())}" for name in missing})
        raise CorpusError(
            f"PHP {php.version} lacks {', '.join(f'ext-{name}' for name in missing)}, which composer.json or a locked package "
            f"requires: install it first (Debian, Ubuntu: apt-get install {' '.join(names)})."
        )


def _extensions(php: Php) -> set[str]:
    said = processes.run([php.fpm, "-m"], check=False).output
    here = {line.strip().lower().replace(" ", "_") for line in said.splitlines() if line.strip()}
    return here | ({"opcache"} if "zend_opcache" in here else set())


def check_lock(tree: Path, php: Php, user: str | None, home: str) -> None:
    """Check that ``composer.lock`` is there when packages are required, and that it is made from this ``composer.json``.

    :raises CorpusError: it is not
    """
    wanted = composer_json(tree)
    packages = [name for name in wanted.get("require") or {} if "/" in name]
    if not (tree / "composer.lock").is_file():
        if packages:
            raise CorpusError(
                "composer.json requires packages and there is no composer.lock: run composer update and commit composer.lock."
            )
        return
    said = processes.run(
        [*composer(php), "validate", "--no-interaction", "--no-check-all", "--no-check-publish", "--no-plugins"],
        user=user,
        cwd=tree,
        env=composer_environment(home),
        check=False,
    )
    words = said.output + said.errors
    if said.status and "lock file" in words:
        raise CorpusError(
            "composer.lock is not up to date with composer.json: run composer update and commit both, then push again."
        )
    if said.status:
        telling = next((line.strip() for line in words.splitlines() if line.strip().startswith("- ")), said.last_words)
        raise CorpusError(f"composer.json: {telling.removeprefix('- ')}")


def composer(php: Php) -> list[str]:
    """Return the command of Composer, run by the PHP of the application."""
    return [php.cli, processes.which("composer")]


def composer_environment(home: str) -> dict[str, str]:
    """Return the variables that Composer wants: its caches in the home of the project's user."""
    return {
        "HOME": home,
        "COMPOSER_HOME": f"{home}/.composer",
        "COMPOSER_CACHE_DIR": f"{home}/.cache/composer",
        "COMPOSER_ALLOW_SUPERUSER": "1",
        "COMPOSER_NO_INTERACTION": "1",
    }


def install_command(tree: Path, php: Php, options: Iterable[object]) -> str:
    """Return the command line by which Composer installs what is locked; empty when there is nothing to install."""
    if not (tree / "composer.json").is_file():
        return ""
    return shlex.join([*composer(php), "install", *map(str, options)])


def command(line: str) -> str:
    """Return a process' command line with the launcher in the place of Heroku's programs of that name."""
    program, space, rest = line.strip().partition(" ")
    name = program.removeprefix("vendor/bin/")
    return f"{FOLDER}/bin/{name}{space}{rest}" if name in COMMANDS else line


def web_settings(cfg: Mapping[str, Any], tree: Path, php: Php, uploads: Iterable[str]) -> dict[str, Any]:
    """Return what the launcher reads: everything checked, nothing left to decide but the port.

    :param uploads: folders of the tree that the application writes: PHP in them is not run
    :raises ConfigurationError: a pool setting, or the document root, cannot be
    """
    wanted = cfg["data"]["php"]
    pool = {}
    for name, value in wanted["pool"].items():
        rule = _POOL.get(name)
        if rule is None:
            raise ConfigurationError(
                f"data.php.pool: there is no setting {identifiers.shown(name)}: use {', '.join(_POOL)}."
            )
        if not rule.fullmatch(str(value)):
            raise ConfigurationError(f"data.php.pool: {name} cannot be {identifiers.shown(value)}.")
        pool[name] = str(value)
    return {
        "document_root": cfg["document_root"] or ".",
        "front_controller": bool(wanted["front_controller"]),
        "hidden": [re.escape(name) for name in _HIDDEN],
        "uploads": list(uploads),
        "pool": pool,
        "fpm": php.fpm,
        "nginx": processes.which("nginx"),
    }


def ini(values: Mapping[str, Any]) -> str:
    """Return a php.ini.

    :raises ConfigurationError: a name or a value cannot be
    """
    rows = ["; Written by corpus from data.php.ini."]
    for name, value in values.items():
        if not isinstance(name, str) or not _INI_NAME.fullmatch(name):
            raise ConfigurationError(f"data.php.ini: {identifiers.shown(name)} cannot name a setting.")
        text = ("1" if value else "0") if isinstance(value, bool) else "" if value is None else str(value)
        if not text.isprintable() or '"' in text or "${" in text:
            raise ConfigurationError(f"data.php.ini: {name} cannot be {identifiers.shown(text)}.")
        rows.append(f'{name} = "{text}"')
    return "\n".join(rows) + "\n"


def web_files(settings: Mapping[str, Any], ini_text: str, user: str | None) -> dict[str, tuple[str, int]]:
    """Return ``{path in the tree: (content, mode)}`` of the launcher, its names, and what it reads."""
    launcher = (
        f"#!{interpreters.interpreter('python3', user).path} -IS\n{Path(web.__file__).read_text(encoding='utf-8')}"
    )
    files: dict[str, tuple[str, int]] = {f"{FOLDER}/bin/{name}": (launcher, 0o755) for name in COMMANDS}
    files[f"{FOLDER}/settings.json"] = (json.dumps(settings, indent=1, sort_keys=True) + "\n", 0o644)
    files[f"{FOLDER}/conf.d/application.ini"] = (ini_text, 0o644)
    return files


def check_pool(php: Php, settings: Mapping[str, Any]) -> None:
    """Let php-fpm itself judge the pool's settings.

    :raises ConfigurationError: it would not start with them
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="corpus-php-") as folder:
        path = Path(folder) / "fpm.conf"
        rows = [f"{name} = {value}" for name, value in settings["pool"].items()]
        path.write_text(
            "\n".join(
                [f"[global]\nerror_log = {folder}/log\n[web]\nuser = nobody\nlisten = {folder}/socket", *rows, ""]
            ),
            encoding="utf-8",
        )
        tested = processes.run([php.fpm, "-t", "-y", path], check=False)
    if tested.status:
        telling = [line for line in tested.errors.splitlines() if "ALERT" in line or "ERROR" in line]
        words = telling[0].split("] ", 1)[-1].split(": ", 1)[-1] if telling else tested.last_words
        raise ConfigurationError(f"data.php.pool: php-fpm does not start with it: {words}.")
