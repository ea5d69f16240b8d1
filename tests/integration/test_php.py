"""PHP applications, pushed as their people push them: what serves, what outlives a release, what is refused."""

import json
import urllib.request
from pathlib import Path

from tests.machine import CHECKOUT, Ended, Machine, WorkTree, page

APPS = CHECKOUT / "tests/apps"


def pushed(
    machine: Machine, name: str, like: Path | None = None, files: dict[str, str] | None = None, **settings: object
) -> tuple[WorkTree, int]:
    port = machine.init(name, installer="php", **settings)["http_port"]
    tree = machine.work_tree(name, files, like=like)
    answer = push(tree, str(settings.get("user", "")))
    assert answer.status == 0, answer.said
    return tree, port


def push(tree: WorkTree, user: str = "") -> Ended:
    """Push; git's receiving end is the project's user, as over ssh."""
    return tree.push(*([f"--receive-pack=sudo -u {user} git-receive-pack"] if user else []))


def test_a_symfony_like_application(machine: Machine) -> None:
    """As a user of its own: Composer, front controller, var/ that outlives a release but for its cache, environment."""
    settings = {"user": "phptest", "env": {"COLOUR": "teal"}, "data": {"php": {"ini": {"memory_limit": "99M"}}}}
    tree, port = pushed(machine, "phptest", like=APPS / "php-symfony", **settings)
    try:
        assert page(port, "/deep/er?x=1") == (200, "Hello RELEASE 1 at /deep/er")
        assert page(port, "/style.css") == (200, "body { color: teal }\n")
        assert json.loads(page(port, "/env")[1]) == ["teal", "teal", "99M", None]
        assert page(port, "/count") == (200, "1")
        for hidden in ("/.git/config", "/.env", "/composer.json", "/.php-web/settings.json"):
            assert page(port, hidden)[0] in (403, 404), hidden
        data = machine.project("phptest") / "data/var"
        assert (data / "count").read_text() == "1"
        assert (data / "count").owner() == "phptest"

        kernel = (tree.folder / "src/Kernel.php").read_text()
        tree.commit({"src/Kernel.php": kernel.replace("'release' => '1'", "'release' => '2'")})
        assert push(tree, "phptest").status == 0
        assert page(port, "/count") == (200, "2")  # data is kept
        assert page(port)[1] == "Hello RELEASE 2 at /"  # compiled code is not

        machine.ok("mc_project.rollback", "phptest")
        assert page(port)[1] == "Hello RELEASE 1 at /"
        assert page(port, "/count") == (200, "3")
    finally:
        machine.ok("mc_project.destroy_project", "phptest", confirm="phptest")


def test_a_drupal_like_site_by_herokus_command(machine: Machine) -> None:
    _, port = pushed(machine, "drupal", like=APPS / "php-drupal")
    assert page(port, "/node/1") == (200, "Drupal 10.0.0-look-alike /node/1")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=b"uploaded"):
        pass
    assert page(port, "/sites/default/files/upload.txt") == (200, "uploaded")
    assert page(port, "/sites/default/files/shell.php")[0] == 404  # what was uploaded is not run
    assert (machine.project("drupal") / "data/web/sites/default/files/upload.txt").read_text() == "uploaded"


GOOD = {"index.php": "<?php echo 'good';"}


def test_what_is_refused_leaves_what_runs(machine: Machine) -> None:
    """Each way that PHP's people fail: the push is refused with one sentence, and the version before goes on."""
    tree, port = pushed(machine, "plain", files=GOOD, healthcheck={"timeout": 3})
    lock = {"content-hash": "0" * 32, "packages": [], "packages-dev": [], "platform": {}}
    nothing = {"require": {"nobody/nothing": "1.0"}, "repositories": [{"packagist.org": False}]}
    for changes, words in (
        ({"index.php": "<?php echo 'unfinished"}, "500"),
        ({"composer.json": '{"require": {"ext-nonesuch": "*"}}'}, "apt-get install php8.2-nonesuch"),
        ({"composer.json": '{"require": {"php": "^7.4"}}'}, "asks for PHP ^7.4"),
        ({"composer.json": "{"}, "composer.json is not JSON"),
        ({"composer.json": json.dumps(nothing)}, "there is no composer.lock"),
        ({"composer.json": json.dumps(nothing), "composer.lock": json.dumps(lock)}, "not up to date"),
        ({".salt/PILLAR.sample": "data: {php: {pool: {pm.max_children: 0}}}"}, "php-fpm does not start"),
        ({".salt/PILLAR.sample": "data: {php: {pool: {user: root}}}"}, "there is no setting 'user'"),
        ({".salt/PILLAR.sample": "data: {php: {ini: {memory_limit: 'x\"\\ny'}}}"}, "memory_limit cannot be"),
        ({"Procfile": "web: heroku-php-nginx public/\n"}, "there is no public/"),
        ({"Procfile": "web: heroku-php-nginx -C nginx.conf\n", "nginx.conf": "nonsense;\n"}, "nonsense"),
    ):
        tree.commit(changes)
        answer = tree.push()
        assert answer.status != 0, changes
        assert words in answer.said, answer.said
        assert "Traceback" not in answer.said
        assert page(port) == (200, "good")
        tree.git("revert", "--no-edit", "HEAD")


def test_an_nginx_configuration_of_its_own(machine: Machine) -> None:
    own = {
        "Procfile": "web: heroku-php-nginx -C nginx.conf\n",
        "nginx.conf": "location / { try_files $uri @rewrite; }\nlocation @rewrite { rewrite ^/(.*)$ /index.php?p=$1; }\n",
        "index.php": "<?php echo 'page ', $_GET['p'] ?? 'none';",
    }
    _, port = pushed(machine, "owned", files=own)
    assert page(port, "/about") == (200, "page about")
