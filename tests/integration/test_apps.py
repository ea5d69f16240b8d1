"""Applications as people have them deploy as they are; what is wrong with one is said in a sentence, and the old serves on."""

import json

from tests.machine import CHECKOUT, Ended, Machine, WorkTree

APPS = CHECKOUT / "tests/apps"


def deployed(machine: Machine, app: str, page: str, **settings: object) -> tuple[WorkTree, int]:
    """Push an application, see its page, and return the clone and the port it is served at."""
    given = machine.init(app, skip_archive=True, skip_bundle=True, **settings)
    tree = machine.work_tree(app, like=APPS / app)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert machine.page(given["http_port"]) == (200, page), pushed.said
    return tree, given["http_port"]


def refused(tree: WorkTree, files: dict[str, str], words: str) -> Ended:
    """Push a change that must be refused with one sentence that has these words; then take it back."""
    before, there = tree.branch(), tree.git("rev-parse", "HEAD").output.strip()
    tree.commit(files)
    pushed = tree.push()
    assert pushed.status != 0, pushed.said
    assert "Traceback (most recent call last)" not in pushed.errors.split("=====>")[-1]
    ending = [line for line in pushed.errors.splitlines() if "failed" in line or "Failed" in line]
    assert any(words in line for line in ending), pushed.said
    assert tree.branch() == before
    tree.git("reset", "--quiet", "--hard", there)
    return pushed


def test_flask_with_requirements(machine: Machine) -> None:
    """No Procfile and no server of its own: both are found. Then everything that users do wrong."""
    tree, port = deployed(machine, "flask", "flask says nothing")
    old = (200, "flask says nothing")
    tree.commit({"note": "x"})
    again = tree.push()
    assert again.status == 0, again.said
    assert "unchanged, nothing was installed" in log(machine, "flask")
    running = machine.project("flask") / "project/venv/lib"
    kept = next((machine.project("flask") / "releases/deployed").glob("*/project/venv/lib"))
    one = next(running.rglob("flask/app.py"))
    assert one.stat().st_nlink == 1
    assert one.read_bytes() == (kept / one.relative_to(running)).read_bytes()

    refused(tree, {"requirements.txt": "flask==3.1.3\nnonesuch-package-of-nobody==1\n"}, "nonesuch-package-of-nobody")
    assert machine.page(port) == old
    wrong = f"itsdangerous==2.2.0 --hash=sha256:{'0' * 64}\n"
    refused(tree, {"requirements.txt": wrong}, "Hash mismatch for `itsdangerous==2.2.0`")
    assert machine.page(port) == old
    refused(
        tree,
        {"app.py": "import flask\napp = flask.Flask(__name__\n", "Procfile": "web: python app.py\n"},
        "SyntaxError",
    )
    refused(tree, {"app.py": "raise SystemExit('no thank you')\n", "Procfile": "web: python app.py\n"}, "no thank you")
    assert machine.page(port) == old
    idle = {"Procfile": "web: sleep 60\n", ".salt/PILLAR.sample": "healthcheck: {timeout: 1}\n"}
    refused(tree, idle, "no answer")
    refused(tree, {".python-version": "2.7\n"}, ".python-version asks for Python 2.7, and this machine has")
    assert machine.page(port) == old


def log(machine: Machine, name: str) -> str:
    """The log of the last deployment."""
    logs = sorted((machine.project(name) / ".corpus/log").iterdir())
    return logs[-1].read_text()


def test_fastapi_with_uv_lock(machine: Machine) -> None:
    tree, port = deployed(machine, "fastapi", '{"sky":"fastapi blue","version":"1.0"}')
    assert not list((machine.project("fastapi") / "project/venv/lib").rglob("iniconfig"))
    project = (APPS / "fastapi/pyproject.toml").read_text()
    changed = {"pyproject.toml": project.replace('["fastapi"]', '["fastapi", "bottle"]')}
    refused(tree, changed, "uv.lock is out of date: it does not fit pyproject.toml. Run `uv lock`")
    broken = {"setup.py": "raise RuntimeError('no wheel today')\n"}
    refused(tree, broken, "no wheel today")
    assert machine.page(port)[0] == 200


def test_pyproject_alone_and_locks_of_pipenv_and_poetry(machine: Machine) -> None:
    deployed(machine, "pyproject", "bottle, from pyproject.toml alone")
    tree, port = deployed(machine, "pipenv", "pipenv, bottle 0.13.4")
    refused(
        tree,
        {"Pipfile": (APPS / "pipenv/Pipfile").read_text().replace('"*"', '">=0.12"', 1)},
        "Pipfile.lock is out of date",
    )
    lock = (APPS / "pipenv/Pipfile.lock").read_text()
    digest = json.loads(lock)["default"]["bottle"]["hashes"]
    for one in digest:
        lock = lock.replace(one, f"sha256:{'0' * 64}")
    refused(tree, {"Pipfile.lock": lock}, "Hash mismatch for `bottle==0.13.4`")
    assert machine.page(port) == (200, "pipenv, bottle 0.13.4")
    tree, port = deployed(machine, "poetry", "poetry, by a factory")
    project = (APPS / "poetry/pyproject.toml").read_text()
    refused(tree, {"pyproject.toml": project.replace("^3.1", "^3.0")}, "poetry.lock is out of date")
    assert machine.page(port) == (200, "poetry, by a factory")


def test_node_with_the_locks_of_npm_yarn_and_pnpm(machine: Machine) -> None:
    tree, port = deployed(machine, "express", "node says 1d in production")
    tree.commit({"note": "x"})
    again = tree.push()
    assert again.status == 0, again.said
    assert "unchanged, nothing was installed" in log(machine, "express")
    package = json.loads((APPS / "express/package.json").read_text())
    newer = {**package, "dependencies": {"ms": "2.1.2"}}
    refused(tree, {"package.json": json.dumps(newer)}, "package-lock.json is out of date: it does not fit package.json")
    nonesuch = {**package, "dependencies": {"nonesuch-package-of-nobody-at-all": "1.0.0"}}
    words = "nonesuch-package-of-nobody-at-all"
    refused(tree, {"package.json": json.dumps(nonesuch), "package-lock.json": "{"}, "package-lock.json is not JSON")
    tree.git("rm", "--quiet", "package-lock.json")
    refused(tree, {"package.json": json.dumps(nonesuch)}, words)
    tree.git("reset", "--quiet", "--hard", "HEAD")
    lock = (APPS / "express/package-lock.json").read_text()
    digest = json.loads(lock)["packages"]["node_modules/ms"]["integrity"]
    wrong = lock.replace(digest, "sha512-" + "A" * 86 + "==")
    refused(tree, {"package-lock.json": wrong}, "ntegrity checksum failed")
    refused(tree, {"server.js": "const = 1;\n"}, "SyntaxError")
    assert machine.page(port) == (200, "node says 1d in production")
    deployed(machine, "yarn", "yarn says 1d in production")
    deployed(machine, "pnpm", "pnpm says 1d in production")


def test_node_that_is_built_and_the_node_it_asks_for(machine: Machine) -> None:
    """What only the build needs is not there when the application runs; a second push finds it again."""
    tree, port = deployed(machine, "built", "built with is-number: true")
    assert not (machine.project("built") / "project/node_modules/is-number").exists()
    tree.commit({"build.js": (APPS / "built/build.js").read_text().replace("built with", "built again with")})
    again = tree.push()
    assert again.status == 0, again.said
    assert machine.page(port) == (200, "built again with is-number: true")
    assert "unchanged, nothing was installed" in log(machine, "built")
    refused(tree, {"build.js": "throw new Error('no build today');\n"}, "no build today")
    refused(tree, {".nvmrc": "lts/nothing\n"}, ".nvmrc: 'lts/nothing' is no version of Node")
    tree.commit({".nvmrc": "v22.11.0\n", "server.js": SAYS_VERSION})
    asked = tree.push()
    assert asked.status == 0, asked.said
    assert machine.page(port) == (200, "v22.11.0")


SAYS_VERSION = (
    'require("http").createServer((q, r) => r.end(process.version)).listen(process.env.PORT, process.env.HOST);\n'
)


FAILING = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = (("notes", "0001_initial"),)
    operations = (migrations.RunSQL("create table nonsense of mine"),)
"""


def test_django_with_static_files_uploads_and_migrations(machine: Machine) -> None:
    """No Procfile, no sls of its own, a SECRET_KEY that nobody set."""
    given = machine.init("django", skip_archive=True, skip_bundle=True)
    port = given["http_port"]
    tree = machine.work_tree("django", like=APPS / "django")
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "auto: django, because of manage.py" in pushed.errors
    assert "Applying notes.0001_initial... OK" in pushed.errors
    assert "check --deploy: security.W" in pushed.errors
    status, page = machine.page(port)
    assert (status, page.split(" /")[0]) == (200, "0 notes")
    styles = page.split()[-1]
    assert styles.startswith("/static/notes/style.")
    assert styles != "/static/notes/style.css"
    assert machine.page(port, styles) == (200, "body { color: teal }\n")
    assert machine.page(port, "/upload") == (200, "up.txt")
    data = machine.project("django") / "data"
    assert (data / "media/up.txt").read_text() == "uploaded"
    assert machine.page(port, "/media/up.txt") == (200, "uploaded")
    assert machine.page(port, "/media/brought.txt") == (200, "brought\n")

    tree.commit({"note": "x"})
    again = tree.push()
    assert again.status == 0, again.said
    assert "Applying" not in again.errors
    assert machine.page(port)[1].startswith("1 notes")
    assert machine.page(port, "/media/up.txt") == (200, "uploaded")

    refused(tree, {"notes/migrations/0002_fails.py": FAILING}, 'near "of": syntax error')
    refused(tree, {"mysite/urls.py": "urlpatterns = [\n"}, "SyntaxError")
    settings = (APPS / "django/mysite/settings.py").read_text()
    hosts = settings.replace('os.environ.get("ALLOWED_HOSTS", "").split(",")', '["www.example.org"]')
    refused(
        tree,
        {"mysite/settings.py": hosts, ".salt/PILLAR.sample": "healthcheck: {timeout: 2}\n"},
        "ALLOWED_HOSTS must have it",
    )
    assert machine.page(port)[1].startswith("1 notes")
