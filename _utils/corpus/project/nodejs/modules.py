"""The build of a Node.js application: Node, packages from the lock, the build script, and only what runs left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError, MissingTool
from corpus.project import commands, manifests, reuse
from corpus.project.nodejs import packages, runtime

MODULES = "node_modules"
#: where a Node stands that the distribution does not have, relative to the tree: it travels with the release
NODE = ".node"
#: the project's own scripts that belong to an installation
_LIFECYCLE = ("preinstall", "install", "postinstall", "prepublish", "prepare")


class Modules:
    """The packages of the release that is built.

    :param cfg: the project's configuration
    :param say: gets every line that whoever pushed should see
    """

    def __init__(self, cfg: Map[str, Any], say: Callable[[str], None]) -> None:
        self.cfg, self.say = cfg, say
        self.settings = cfg["data"]["nodejs"]
        self.tree = Path(cfg["project_root"])
        self.cache = Path(cfg["home"]) / ".cache/corpus"
        if not manifests.present(self.tree, "package.json"):
            raise CorpusError("There is no package.json at the top of the tree.")
        self.package = manifests.json_mapping(self.tree, "package.json")
        self.scripts = packages.scripts(self.package)
        self.packager = packages.packager(self.tree)
        self.tools = ""

    def make(self) -> tuple[str, bool]:
        """Install, build, and remove what only the build needed.

        :returns: what was done, and whether the packages were taken over from the version that runs
        :raises CorpusError: something of it failed
        """
        version = self._node()
        self.tools = self._packager_folder()
        wanted = self._digest(version)
        self._script("heroku-prebuild")
        reused = self._reuse(wanted)
        if reused:
            for name in _LIFECYCLE:
                self._script(name)
        else:
            self._install()
            if self._prunes:
                self._keep(wanted)
        build = self._build()
        if self._prunes:
            self._prune()
        if (self.tree / MODULES).is_dir():
            self._run(reuse.mark(self.tree / MODULES, "" if self._prunes else wanted))
        self._script("heroku-cleanup")
        words = f"Node {version}, {self.packager.command}, {self.packager.lock or 'no lock file'}"
        return f"{words}{': unchanged, nothing was installed' if reused else ''}{build}.", reused

    # Node

    def _node(self) -> str:
        """Make the right Node the first on PATH; return its version."""
        wish = runtime.wished(self.tree)
        path = commands.SYSTEM_PATH
        found = runtime.here(self.cfg.get("user"), path)
        if found and runtime.right(found[1], wish):
            return found[1]
        if found is None:
            raise MissingTool("Node.js is not installed on this machine: apt-get install nodejs npm.")
        assert wish is not None
        if not self.settings["fetch"]:
            raise CorpusError(
                f"{wish.where} asks for Node {wish.text}, and this machine has {found[1]}: install one that is right, "
                "or set data.nodejs.fetch."
            )
        return self._fetched(wish)

    def _fetched(self, wish: runtime.Wish) -> str:
        """Bring a Node from the npm registry into the tree, or take the running version's over."""
        package = runtime.package()
        made_from = reuse.digest(self.tree, (), package=package, range=wish.text)
        if reuse.made_from(self.tree / NODE) != made_from and not reuse.take(self.cfg, NODE, made_from, self.say):
            self.say(f"{wish.where} asks for Node {wish.text}: fetching it from the npm registry.")
            folder = Path(self.cfg["build_root"]) / "node"
            try:
                self._run(self._from_registry(folder, f"{package}@{wish.text}"))
            except commands.CommandFailed as err:
                raise CorpusError(f"{wish.where} asks for Node {wish.text}, which could not be had: {err}") from err
            self._run(["mkdir", "-p", f"{self.tree / NODE}/bin"])
            self._run(["cp", str(folder / MODULES / package / "bin/node"), f"{self.tree / NODE}/bin/node"])
            self._run(reuse.mark(self.tree / NODE, made_from))
        said = commands.run(self.cfg, [f"{NODE}/bin/node", "--version"], lambda _: None)
        return said.strip().removeprefix("v")

    @staticmethod
    def _from_registry(folder: Path, package: str) -> list[str]:
        words = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-package-lock", "--ignore-scripts"]
        return [*words, "--no-audit", "--no-fund", "--loglevel=error", package]

    # packages

    def _packager_folder(self) -> str:
        """Make sure that the package manager is there, in the version that the tree asks for; return its folder."""
        manager = self.packager
        if not manager.version or manager.program:
            return ""
        folder = self.cache / manager.package.replace("/", "-").lstrip("@")
        programs = folder / MODULES / ".bin"
        if not (programs / manager.command).exists():
            self.say(f"{manager.package} comes from the npm registry.")
            self._run(self._from_registry(folder, manager.package))
        return str(programs)

    @property
    def _development(self) -> bool:
        """Whether packages that only a build or the project's own installation scripts need are installed, too."""
        names = {"build", "heroku-postbuild", "heroku-prebuild", *_LIFECYCLE}
        return bool(self.settings["build"] or names & set(self.scripts))

    @property
    def _prunes(self) -> bool:
        return bool(
            self.settings["prune"] and self._development and manifests.mapping(self.package, "devDependencies")
        ) and bool(self.packager.prune())

    def _digest(self, version: str) -> str:
        kinds = ("dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions", "pnpm")
        files = (self.packager.lock, ".npmrc", ".yarnrc", ".yarnrc.yml") if self.packager.lock else (".npmrc",)
        return reuse.digest(
            self.tree,
            files,
            node=version,
            packager=[self.packager.name, self.packager.version],
            wanted={kind: self.package.get(kind) for kind in kinds},
            development=self._development,
            root=str(self.tree),
        )

    def _reuse(self, wanted: str) -> bool:
        """Take packages over that were made from the same; not those of several packages in one tree."""
        several = "workspaces" in self.package or manifests.present(self.tree, "pnpm-workspace.yaml")
        if not self.packager.lock or several:
            return False
        if reuse.made_from(self.tree / MODULES) == wanted:
            return True
        kept = self.cache / MODULES if self._prunes else None
        return reuse.take(self.cfg, MODULES, wanted, self.say, kept)

    def _keep(self, wanted: str) -> None:
        """Keep what the build starts from: what is left after it lacks the packages that only the build needs."""
        if not (self.tree / MODULES).is_dir() or not self.packager.lock:
            return
        kept = self.cache / MODULES
        self._run(["rm", "-rf", str(kept)])
        self._run(["mkdir", "-p", str(self.cache)])
        self._run(reuse.mark(self.tree / MODULES, wanted))
        self._run(["cp", "-a", "--reflink=auto", str(self.tree / MODULES), str(kept)])

    def _install(self) -> None:
        manager = self.packager
        if not manager.lock:
            self.say(
                "There is no lock file: the same push may get other versions tomorrow. Commit the one that npm writes."
            )
        try:
            self._run(self._words(manager.install(self._development)), {"CI": "true"})
        except commands.CommandFailed as err:
            stale = (
                "in sync",
                "frozen-lockfile",
                "OUTDATED_LOCKFILE",
                "lockfile would have been",
                "needs to be updated",
            )
            if manager.lock and any(words in str(err) for words in stale):
                raise CorpusError(
                    f"{manager.lock} is out of date: it does not fit package.json. Run `{manager.command} install`, and "
                    "commit what it writes."
                ) from err
            raise

    def _prune(self) -> None:
        self._run(self._words(self.packager.prune()), {"CI": "true"})

    # scripts

    def _build(self) -> str:
        """Run the command that is configured, or the script that builds; return it in words."""
        if self.settings["build"]:
            self._run(["/bin/sh", "-c", str(self.settings["build"])])
            return ", built by data.nodejs.build"
        for name in ("heroku-postbuild", "build"):
            if self._script(name):
                return f", built by the script {name}"
        return ""

    def _script(self, name: str) -> bool:
        if name not in self.scripts:
            return False
        self._run(
            ["npm", "run", "--silent", name]
            if self.packager.name in ("npm", "yarn")
            else self._words([self.packager.command, "run", name])
        )
        return True

    def _words(self, words: list[str]) -> list[str]:
        return ["node", self.packager.program, *words[1:]] if self.packager.program else words

    def _run(self, argv: Sequence[str], env: Map[str, str] | None = None) -> None:
        path = commands.search_path(self.cfg)
        own = {
            "PATH": f"{self.tools}:{path}" if self.tools else path,
            "NODE_ENV": str(self.cfg["env"].get("NODE_ENV", "production")),
            "npm_config_cache": f"{self.cfg['home']}/.npm",
            "npm_config_update_notifier": "false",
            "COREPACK_ENABLE_STRICT": "0",
            "YARN_NODE_LINKER": "node-modules",
            "YARN_ENABLE_TELEMETRY": "0",
            "NEXT_TELEMETRY_DISABLED": "1",
            **(env or {}),
        }
        if self.packager.name == "pnpm":  # a package's files belong to one version alone: no links into a store
            own["npm_config_package_import_method"] = "clone-or-copy"
        commands.run(self.cfg, argv, _without_usage(self.say), env=own)


def _without_usage(say: Callable[[str], None]) -> Callable[[str], None]:
    """Leave out the page of options that npm prints below an error."""
    usage = False

    def filtered(line: str) -> None:
        nonlocal usage
        usage = line.startswith("npm error") and (
            usage or line.startswith(("npm error Usage:", "npm error Clean install"))
        )
        if not usage:
            say(line)

    return filtered
