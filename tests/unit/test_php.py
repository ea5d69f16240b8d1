"""What a PHP application asks of a machine, and how it lies in its tree."""

from pathlib import Path

import pytest
from corpus.errors import ConfigurationError, CorpusError
from corpus.project import php
from corpus.project.running import php as web


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("^8.1", "8.4.1", "9.0.0"),
        ("~8.1", "8.9.0", "9.0.0"),
        ("~8.1.2", "8.1.9", "8.2.0"),
        (">=8.1 <8.4", "8.3.9", "8.4.0"),
        (">= 7.4, != 8.0.0", "8.0.1", "8.0.0"),
        ("^7.4 || ^8.0", "8.2.36", "7.3.0"),
        ("8.2.*", "8.2.36", "8.3.0"),
        ("7.4 - 8.2", "8.2.36", "8.3.0"),
        ("*", "5.6.0", None),
    ],
)
def test_constraints(constraint: str, yes: str, no: str | None) -> None:
    assert php.satisfies(yes, constraint)
    assert no is None or not php.satisfies(no, constraint)


def test_a_constraint_that_is_none() -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        php.satisfies("8.2.0", "eight")


@pytest.mark.parametrize(
    ("files", "kind", "root", "kept"),
    [
        (["index.php"], "PHP", ".", ()),
        (["public/index.php", "artisan"], "Laravel", "public", ("storage",)),
        (["public/index.php", "bin/console"], "Symfony", "public", ("var",)),
        (["web/index.php", "web/core/lib/Drupal.php"], "Drupal", "web", ("web/sites/default/files",)),
        (["index.php", "wp-includes/x.php"], "WordPress", ".", ("wp-content/uploads",)),
    ],
)
def test_shapes(tmp_path: Path, files: list[str], kind: str, root: str, kept: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = php.shape(tmp_path)
    assert (found.kind, found.document_root, found.kept) == (kind, root, kept)


@pytest.mark.parametrize("values", [{"x y": 1}, {"memory_limit": 'a"b'}, {"memory_limit": "a\nb"}, {"a": "${HOME}"}])
def test_an_ini_that_would_say_more_than_it_should(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.php\.ini"):
        php.ini(values)


def test_herokus_command_lines() -> None:
    assert php.command("vendor/bin/heroku-php-apache2 public/") == ".php-web/bin/heroku-php-apache2 public/"
    assert php.command("php worker.php") == "php worker.php"
    assert web.understood("heroku-php-nginx", ["-C", "n.conf", "public/"]) == web.Call("public/", "n.conf")
    with pytest.raises(web.Refused, match="no option -z"):
        web.understood("heroku-php-nginx", ["-z"])
