"""How a Node.js application is started when it has no Procfile, or which folder its build leaves to be served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import manifests
from corpus.project.nodejs.packages import scripts

#: one simple command: nothing that a shell would have to interpret, so that it can take the shell's place
_SIMPLE = re.compile(r"[\w@./:=-]+( [\w@./:=,$'\"-]+)*")
_ASSIGNS = re.compile(r"\w+=")
#: what only serves while somebody develops
_DEVELOPS = re.compile(
    r"(\S*/)?(react-scripts start|vite( dev| serve)?( .*)?$|astro dev|astro( -.*)?$|webpack(-dev-server| serve)|ng serve|"
    r"vue-cli-service serve|parcel( \S+\.html|$)|gatsby develop|eleventy .*--serve|svelte-kit dev|rsbuild dev)"
)
_SERVERS = ("server.js", "index.js", "app.js", "server.mjs", "index.mjs", "app.mjs", "main.js")
#: builders of pages that need no server, and the folder that they write
_BUILDERS = {
    "react-scripts": "build",
    "gatsby": "public",
    "@11ty/eleventy": "_site",
    "@docusaurus/core": "build",
    "vitepress": ".vitepress/dist",
    "astro": "dist",
    "@vue/cli-service": "dist",
    "@rsbuild/core": "dist",
    "parcel": "dist",
    "vite": "dist",
}
_SERVED = {
    "next",
    "nuxt",
    "@remix-run/serve",
    "@astrojs/node",
    "@sveltejs/adapter-node",
    "@nestjs/core",
    "express",
    "fastify",
    "koa",
}


def command(tree: Path) -> str:
    """Return the command line that starts the application; empty when it has none that is meant for production."""
    package = _package(tree)
    lines = scripts(package)
    start = " ".join(lines.get("start", "").split())
    if start and not _DEVELOPS.match(start):
        around = {"prestart", "poststart"} & set(lines)
        if _SIMPLE.fullmatch(start) and not around and not _ASSIGNS.match(start):
            return start  # by itself, so that signals reach it, and npm does not stand in between
        return "npm start --silent"
    asked = {name for kind in ("dependencies", "devDependencies") for name in manifests.mapping(package, kind)}
    if "next" in asked:
        return "next start"
    if "nuxt" in asked:
        return "node .output/server/index.mjs"
    if start or output(tree):
        return ""
    main = package.get("main")
    candidates = (main, *_SERVERS) if isinstance(main, str) else _SERVERS
    server = next((name for name in candidates if manifests.present(tree, name)), "")
    return f"node {server}" if re.fullmatch(r"[\w./-]+", server) else ""


def output(tree: Path) -> str:
    """Return the folder that the build of pages without a server writes; empty when the tree is not of that kind."""
    package = _package(tree)
    lines = scripts(package)
    asked = {name for kind in ("dependencies", "devDependencies") for name in manifests.mapping(package, kind)}
    if "build" not in lines and "heroku-postbuild" not in lines:
        return ""
    if asked & _SERVED or (lines.get("start") and not _DEVELOPS.match(lines["start"])):
        return ""
    return next((folder for builder, folder in _BUILDERS.items() if builder in asked), "")


def _package(tree: Path) -> dict[str, Any]:
    try:
        return manifests.json_mapping(tree, "package.json")
    except CorpusError:  # the build says so
        return {}
