"""The command alone: installed where neither Salt nor the rest of corpus is."""

import shutil
from pathlib import Path

import pytest

from tests.integration.test_loading import CHECKOUT, NOT_THE_PACK, Venv, venv

__all__ = ["venv"]

#: What ``client/pyproject.toml`` asks for, and what that asks for; the names of packages and modules.
NEEDED = (
    *(
        "_yaml",
        "anyio",
        "certifi",
        "click",
        "exceptiongroup",
        "h11",
        "httpcore",
        "httpx",
        "idna",
        "markdown_it",
        "mdurl",
    ),
    *("pygments", "rich", "sniffio", "typing_extensions.py", "yaml"),
)


@pytest.fixture
def alone(venv: Venv, tmp_path: Path) -> Venv:
    """An environment with the command's distribution, and nothing that it needs."""
    for folder in ("client", "_utils/corpus/client"):
        shutil.copytree(CHECKOUT / folder, tmp_path / "pack" / folder, symlinks=True, ignore=NOT_THE_PACK)
    venv.install(tmp_path / "pack/client")
    return venv


def test_the_command_needs_no_salt(alone: Venv) -> None:
    venv = alone
    venv.borrow(lambda name: name in NEEDED)
    command = venv.root / "bin/corpus"
    assert "computenode_init" in venv.run(command, "--help")
    assert "Examples" in venv.run(command, "push", "--help")
    loaded = venv.run(
        venv.python,
        "-c",
        "import sys; from corpus_client import command; command.register(); "
        "print(*sorted({name.split('.')[0] for name in sys.modules} & {'salt', 'corpus', 'corpus_client'}))",
    )
    assert loaded.split() == ["corpus_client"]


def test_what_is_missing_is_named(alone: Venv) -> None:
    told = alone.run("sh", "-c", f"{alone.root}/bin/corpus --help 2>&1 || true")
    assert "pip install 'corpus-client'" in told
