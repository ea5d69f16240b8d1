"""What the API can do, the command can."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import corpus.client
from corpus.web import app
from corpus.web.settings import WebSettings

#: What programs ask for, and not people; and what a command asks for in another way.
WITHOUT = {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "POST /nodes/{name}/inventory",  # computenode_infos --live
}
_METHODS = {"GET", "POST", "PUT", "DELETE"}
_READERS = {"get", "rows", "listed", "text", "events", "stream"}


def _patterns(node: ast.AST, known: list[str]) -> list[str]:
    """The paths that an expression may be, as regular expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/"):
        return [re.escape(node.value)]
    if isinstance(node, ast.IfExp):
        return _patterns(node.body, known) + _patterns(node.orelse, known)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "place":
        words = [
            "(/[^/]+)*" if isinstance(word, ast.Starred) else f"/{_word(word)}" for word in node.args
        ]  # a list that is spread may be of any length
        return ["".join(words)]
    if isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            more = known if isinstance(inner, ast.Name) else _patterns(inner, known)
            if isinstance(inner, ast.Constant):
                more = [re.escape(str(inner.value))]
            found = [begin + end for begin in found for end in more]
        return found
    return []


def _word(node: ast.AST) -> str:
    if isinstance(node, ast.IfExp):
        return f"({_word(node.body)}|{_word(node.orelse)})"
    return re.escape(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else "[^/]+"


def _reached() -> Iterator[tuple[set[str], list[str]]]:
    """By function of the command: the methods that it asks with, and the paths that it asks for."""
    for file in Path(corpus.client.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                nodes = list(ast.walk(function))
                known = [one for node in nodes if isinstance(node, ast.Call) for one in _patterns(node, [])]
                paths = [one for node in nodes for one in _patterns(node, known)]
                words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
                reads = any(isinstance(node, ast.Attribute) and node.attr in _READERS for node in nodes)
                edits = any(isinstance(node, ast.Attribute) and node.attr == "settings" for node in nodes)
                methods = (words & _METHODS) | ({"GET"} if reads else set()) | ({"GET", "PUT"} if edits else set())
                yield methods, [one for one in paths if not one.startswith("/[")]  # that is a part of one


def test_every_operation_of_the_api_is_reached_by_a_command(tmp_path: Path) -> None:
    told = WebSettings(registry="sqlite:////nowhere", url="https://corpus.test", password_file=tmp_path / "none")
    reached = list(_reached())
    missing = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in app.create(told).openapi()["paths"].items()
        for method in methods
        if not any(
            method.upper() in asked and any(re.fullmatch(one, path.removeprefix("/api/v1")) for one in paths)
            for asked, paths in reached
        )
    }
    assert missing == WITHOUT
