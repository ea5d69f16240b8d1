"""The application of a tree: which object in which module a server is to load. Read from the source; nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.project import manifests

WSGI, ASGI = "wsgi", "asgi"

#: what makes an application, by the name of the class or function that is called
_MAKERS = {
    "Flask": WSGI,
    "Bottle": WSGI,
    "get_wsgi_application": WSGI,
    "WsgiToAsgi": ASGI,
    "FastAPI": ASGI,
    "Starlette": ASGI,
    "Quart": ASGI,
    "Sanic": ASGI,
    "Litestar": ASGI,
    "BlackSheep": ASGI,
    "get_asgi_application": ASGI,
    "ProtocolTypeRouter": ASGI,
}
#: packages whose applications are of a kind, where the source alone does not tell
_PACKAGES = {"fastapi": ASGI, "starlette": ASGI, "quart": ASGI, "litestar": ASGI, "sanic": ASGI, "blacksheep": ASGI}
_NAMES = ("app", "application", "api", "asgi", "wsgi", "server")
_FACTORIES = ("create_app", "make_app", "build_app", "get_app", "create_application")
_MODULES = ("wsgi", "asgi", "app", "application", "main", "server", "api", "run", "__init__")
#: folders that hold no application, whatever is in them
_ASIDE = {
    "tests",
    "test",
    "docs",
    "doc",
    "examples",
    "scripts",
    "migrations",
    "node_modules",
    "venv",
    "env",
    "build",
    "dist",
}
_MOST = 200


@dataclass(frozen=True)
class Application:
    """What a server is to load.

    :param module: dotted name, as seen from ``folder``
    :param name: of the object in it; of a function that makes it, when ``factory``
    :param kind: wsgi or asgi
    :param factory: whether it has to be called first
    :param folder: that must be on Python's path, relative to the tree; empty: the top of the tree
    """

    module: str
    name: str
    kind: str
    factory: bool = False
    folder: str = ""

    @property
    def reference(self) -> str:
        """``module:name``, as servers want it."""
        return f"{self.module}:{self.name}"


def found(tree: Path, packages: set[str]) -> Application | None:
    """Return the application of a tree, or None.

    :param packages: that the tree asks for: they tell the kind where the source alone does not
    """
    usual = next((kind for package, kind in _PACKAGES.items() if package in packages), WSGI)
    factory: Application | None = None
    for folder, path in _modules(tree):
        relative = path.relative_to(tree / folder)
        module = ".".join(part for part in relative.with_suffix("").parts if part != "__init__")
        if not module or not all(part.isidentifier() for part in module.split(".")):
            continue
        for name, kind, made in _objects(manifests.text(tree, str(path.relative_to(tree))), path.stem, usual):
            application = Application(module, name, kind, made, folder)
            if not made:
                return application
            factory = factory or application
    return factory


def _modules(tree: Path) -> Iterator[tuple[str, Path]]:
    """Where applications usually are: modules at the top, then those of packages; ``src`` counts as a top, too."""
    for folder in ("", "src", "app", "backend"):
        top = tree / folder
        if not top.is_dir() or top.is_symlink() or (folder and (top / "__init__.py").exists()):
            continue
        yield from (
            (folder, top / f"{name}.py") for name in _MODULES if name != "__init__" and _there(top / f"{name}.py")
        )
        packages = [path for path in sorted(top.iterdir())[:_MOST] if path.is_dir() and not path.is_symlink()]
        for package in packages:
            if package.name in _ASIDE or not package.name.isidentifier() or not any(package.glob("*.py")):
                continue
            yield from ((folder, package / f"{name}.py") for name in _MODULES if _there(package / f"{name}.py"))


def _there(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _objects(source: str, module: str, usual: str) -> list[tuple[str, str, bool]]:
    """Return the applications of a module: (name, kind, whether it is a factory), those that are ready first."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    expected = module if module in (WSGI, ASGI) else usual
    ready: dict[str, str] = {}
    factories: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            kind = _kind(node.value, expected)
            ready.update({one.id: kind for one in targets if isinstance(one, ast.Name) and kind})
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = [one.arg for one in node.args.args]
            if arguments == ["environ", "start_response"]:
                ready[node.name] = WSGI
            elif arguments == ["scope", "receive", "send"]:
                ready[node.name] = ASGI
            elif node.name in _FACTORIES and len(node.args.args) == len(node.args.defaults):
                made = [_kind(inner, "") for inner in ast.walk(node) if isinstance(inner, ast.Call)]
                factories[node.name] = next((kind for kind in made if kind), expected)
        elif isinstance(node, ast.ImportFrom) and module in (WSGI, ASGI):
            ready.update(
                {(one.asname or one.name): expected for one in node.names if (one.asname or one.name) in _NAMES}
            )
    listed = sorted(ready.items(), key=lambda one: _NAMES.index(one[0]) if one[0] in _NAMES else len(_NAMES))
    return [(name, kind, False) for name, kind in listed] + [(name, kind, True) for name, kind in factories.items()]


def _kind(value: ast.expr | None, expected: str) -> str:
    """The kind of application that an expression makes; empty when it makes none."""
    if not isinstance(value, ast.Call):
        return ""
    called = ast.unparse(value.func)
    last = called.rpartition(".")[2]
    if last in _MAKERS:
        return _MAKERS[last]
    if re.fullmatch(r"falcon\.(asgi\.)?(App|API)", called):
        return ASGI if ".asgi." in called else WSGI
    if last in _FACTORIES:
        return expected
    return _kind(value.args[0], expected) if len(value.args) == 1 and last.endswith(("Middleware", "Fix")) else ""
