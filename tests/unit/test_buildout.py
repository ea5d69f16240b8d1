"""What a buildout's files say without being run."""

from pathlib import Path

import pytest
from corpus.errors import CorpusError
from corpus.project import buildout


def write(tree: Path, **texts: str) -> None:
    for name, text in texts.items():
        (tree / f"{name}.cfg").write_text(text)


def test_extended_files_count(tmp_path: Path) -> None:
    write(
        tmp_path,
        buildout="[buildout]\nextends =\n    base.cfg\n    https://dist.example.org/versions.cfg\n[instance]\neggs += Products.X\n",
        base="[versions]\nzc.buildout = 4.1\n[instance]\nrecipe = plone.recipe.zope2instance\neggs = Zope\n",
    )
    assert buildout.read(tmp_path) == buildout.Buildout(("instance",), False, "4.1")


@pytest.mark.parametrize("line", ["zeo-client = on", "rel-storage =\n    type postgresql"])
def test_a_database_that_several_may_have(tmp_path: Path, line: str) -> None:
    write(tmp_path, buildout=f"[buildout]\n[one]\nrecipe = plone.recipe.zope2instance\n{line}\n")
    assert buildout.read(tmp_path).shared


def test_a_buildout_without_an_instance(tmp_path: Path) -> None:
    write(tmp_path, buildout="[buildout]\nparts =\n")
    with pytest.raises(CorpusError, match="there is no Zope instance"):
        buildout.read(tmp_path)


def test_a_buildout_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, buildout="parts = x\n")
    with pytest.raises(CorpusError, match="cannot be read"):
        buildout.read(tmp_path)
