"""Forty trees as people push them, and the installer that a person would expect for each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MANAGE = """\
#!/usr/bin/env python
import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
_FLASK = "from flask import Flask\napp = Flask(__name__)\n"
_WEB = "web: gunicorn app:app\nworker: python worker.py\n"


@dataclass(frozen=True)
class Application:
    """A tree and what it is.

    :param name: of the tree
    :param installer: that a person would expect
    :param files: content by path
    :param bulk: further files, of 2 kB each: sources, packages that were committed by mistake
    """

    name: str
    installer: str
    files: dict[str, str]
    bulk: int = 40

    def grow(self, folder: Path) -> Path:
        """Write the tree below a folder and return its top."""
        top = folder / self.name
        for path, content in self.files.items():
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text(content)
        for number in range(self.bulk):
            source = top / f"src/{number // 200}/module-{number}.txt"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text("x = 1\n" * 340)
        return top


def _package(scripts: dict[str, str] | None = None, dev: str = "", **others: object) -> str:
    package = {"name": "app", "version": "1.0.0", "scripts": scripts or {}, **others}
    if dev:
        package["devDependencies"] = dict.fromkeys(dev.split(), "^1.0.0")
    return json.dumps(package, indent=2)


def _lock(packages: int) -> str:
    entry = {"version": "1.0.0", "resolved": "https://registry.example.org/p.tgz", "integrity": "sha512-" + "a" * 86}
    return json.dumps({"lockfileVersion": 3, "packages": {f"node_modules/p{n}": entry for n in range(packages)}})


def _uv_lock(packages: int) -> str:
    wheel = (
        '    { url = "https://files.example.org/p-1.0-cp312.whl", hash = "sha256:' + "a" * 64 + '", size = 1000 },\n'
    )
    entry = (
        '[[package]]\nname = "p{0}"\nversion = "1.{0}"\nsource = {{ registry = "https://index.example.org/simple" }}\n'
        "wheels = [\n{1}]\n\n"
    )
    return "version = 1\nrequires-python = '>=3.10'\n\n" + "".join(entry.format(n, wheel * 12) for n in range(packages))


_REQUIREMENTS = "".join(f"package-{number}==1.{number} --hash=sha256:{number:064d}\n" for number in range(150))
_EXPRESS = _package({"start": "node server.js"}, dependencies={"express": "^4"})
_VITE = _package({"dev": "vite", "build": "vite build"}, "vite tailwindcss")

ALL = [
    Application("django", "django", {"manage.py": _MANAGE, "requirements.txt": "django>=5\n", "site/settings.py": ""}),
    Application("django-uv", "django", {"manage.py": _MANAGE, "uv.lock": _uv_lock(80), "pyproject.toml": "[project]"}),
    Application("django-assets", "django", {"manage.py": _MANAGE, "requirements.txt": "django", "package.json": _VITE}),
    Application(
        "django-heroku", "django", {"manage.py": _MANAGE, "Pipfile": "", "Pipfile.lock": "{}", "Procfile": _WEB}, 800
    ),
    Application(
        "django-poetry", "django", {"manage.py": _MANAGE, "pyproject.toml": "[tool.poetry]", "poetry.lock": ""}
    ),
    Application("django-docs", "django", {"manage.py": _MANAGE, "requirements.txt": "django", "mkdocs.yml": ""}),
    Application("flask", "python", {"app.py": _FLASK, "requirements.txt": "flask\ngunicorn\n", "Procfile": _WEB}),
    Application("flask-plain", "python", {"app.py": _FLASK, "requirements.txt": "flask\n"}),
    Application("flask-assets", "python", {"app.py": _FLASK, "requirements.txt": "flask\n", "package.json": _VITE}),
    Application(
        "flask-docs", "python", {"app.py": _FLASK, "requirements.txt": "flask\n", "mkdocs.yml": "site_name: x"}
    ),
    Application("fastapi-uv", "python", {"main.py": "import fastapi", "pyproject.toml": "[project]", "uv.lock": ""}),
    Application("fastapi-big-lock", "python", {"main.py": "", "uv.lock": _uv_lock(500), "pyproject.toml": "[project]"}),
    Application("pipenv", "python", {"wsgi.py": "", "Pipfile": '[packages]\nflask = "*"\n', "Pipfile.lock": "{}"}),
    Application("poetry", "python", {"wsgi.py": "", "pyproject.toml": "[tool.poetry]", "poetry.lock": ""}),
    Application(
        "setup-py", "python", {"setup.py": "from setuptools import setup\nsetup()\n", "Procfile": "web: serve\n"}
    ),
    Application("pinned", "python", {"app.py": _FLASK, "requirements.txt": _REQUIREMENTS, ".python-version": "3.12\n"}),
    Application(
        "python-hung-with-npm", "python", {"requirements.txt": "x", "package.json": _package(), "Procfile": _WEB}
    ),
    Application("express", "nodejs", {"package.json": _EXPRESS, "package-lock.json": _lock(100), "server.js": ""}),
    Application(
        "express-yarn", "nodejs", {"package.json": _EXPRESS, "yarn.lock": "# yarn lockfile v1\n", "server.js": ""}
    ),
    Application("express-pnpm", "nodejs", {"package.json": _EXPRESS, "pnpm-lock.yaml": "", "server.js": ""}),
    Application("express-big-lock", "nodejs", {"package.json": _EXPRESS, "package-lock.json": _lock(4000)}),
    Application("express-committed-modules", "nodejs", {"package.json": _EXPRESS, "server.js": ""}, 5000),
    Application("express-python-tools", "nodejs", {"package.json": _EXPRESS, "requirements.txt": "pre-commit\n"}),
    Application("node-procfile", "nodejs", {"package.json": _package(), "Procfile": "web: node bin/www\n"}),
    Application("next", "nodejs", {"package.json": _package({"build": "next build", "start": "next start"})}),
    Application("vite-spa", "nodejs", {"package.json": _VITE, "package-lock.json": _lock(300), "index.html": "<html>"}),
    Application("composer", "php", {"composer.json": '{"require": {"php": ">=8.1"}}', "public/index.php": "<?php\n"}),
    Application(
        "laravel", "php", {"composer.json": "{}", "artisan": "", "package.json": _VITE, "public/index.php": ""}
    ),
    Application("symfony", "php", {"composer.json": "{}", "symfony.lock": "{}", "public/index.php": "<?php\n"}, 900),
    Application("drupal", "php", {"composer.json": "{}", "composer.lock": "{}", "web/index.php": "<?php\n"}, 1500),
    Application("old-php", "php", {"index.php": "<?php phpinfo();", "style.css": ""}),
    Application("plone", "zope", {"buildout.cfg": "[buildout]\nparts = instance\n", "requirements.txt": "zc.buildout"}),
    Application("page", "static", {"index.html": "<html>", "style.css": "", "README.md": ""}),
    Application("page-with-tools", "static", {"index.html": "<html>", "package.json": _package({}, "prettier")}),
    Application("public", "static", {"public/index.html": "<html>", "README.md": ""}),
    Application("hugo", "static", {"hugo.toml": "baseURL = 'https://example.org'\n", "content/_index.md": "# x"}),
    Application(
        "mkdocs", "static", {"mkdocs.yml": "site_name: x\n", "requirements.txt": "mkdocs", "docs/index.md": ""}
    ),
    Application("jekyll", "static", {"_config.yml": "title: x\n", "Gemfile": "gem 'jekyll'\n", "index.md": ""}),
    Application(
        "binary", "generic", {"Procfile": "web: ./server --port $PORT\nrelease: ./migrate\n", "app.json": "{}"}
    ),
    Application(
        "own-way", "generic", {".salt/build.sls": "own:\n  cmd.run:\n    - name: make\n", "Makefile": "all:\n"}
    ),
]


def grown(folder: Path) -> Iterator[tuple[Application, Path]]:
    """Write all trees below a folder; yield each with its top."""
    for application in ALL:
        yield application, application.grow(folder)
