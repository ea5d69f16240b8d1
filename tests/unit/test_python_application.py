"""What serves a Python tree that has no Procfile."""

from pathlib import Path

import pytest
from corpus.project.found import django, python


def values(folder: Path, files: dict[str, str], module: object = python) -> dict[str, object]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return module.values(folder)  # type: ignore[attr-defined,no-any-return]


FACTORY = "from flask import Flask\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n"


@pytest.mark.parametrize(
    ("files", "command", "server"),
    [
        (
            {"app.py": "from flask import Flask\napp = Flask(__name__)\n", "requirements.txt": "flask\n"},
            "gunicorn --no-control-socket --bind 127.0.0.1:$PORT app:app",
            "gunicorn==",
        ),
        (
            {
                "app.py": "from flask import Flask\nsite = Flask(__name__)\n",
                "requirements.txt": "flask\ngunicorn==23\n",
            },
            "gunicorn --bind 127.0.0.1:$PORT app:site",
            None,
        ),
        (
            {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n", "requirements.txt": "fastapi\n"},
            "uvicorn --host 127.0.0.1 --port $PORT main:app",
            "uvicorn==",
        ),
        (
            {
                "src/shop/main.py": "import fastapi\napi = fastapi.FastAPI()\n",
                "requirements.txt": "fastapi\nhypercorn\n",
            },
            "env PYTHONPATH=src hypercorn --bind 127.0.0.1:$PORT shop.main:api",
            None,
        ),
        (
            {"shop/__init__.py": FACTORY, "requirements.txt": "flask\ngunicorn\n"},
            "gunicorn --bind 127.0.0.1:$PORT 'shop:create_app()'",
            None,
        ),
        (
            {
                "shop/__init__.py": FACTORY,
                "wsgi.py": "from shop import create_app\napp = create_app()\n",
                "requirements.txt": "flask\nwaitress\n",
            },
            "waitress-serve --listen=127.0.0.1:$PORT wsgi:app",
            None,
        ),
        (
            {"main.py": "def application(environ, start_response):\n    return []\n", "requirements.txt": ""},
            "gunicorn --no-control-socket --bind 127.0.0.1:$PORT main:application",
            "gunicorn==",
        ),
    ],
)
def test_the_application_is_found_with_the_server_that_fits_it(
    tmp_path: Path, files: dict[str, str], command: str, server: str | None
) -> None:
    told = values(tmp_path, files)
    assert told["processes"] == {"web": command}
    installed = told.get("data", {"python": {"server": None}})["python"]["server"]  # type: ignore[index]
    assert str(installed).startswith(server) if server else installed is None


def test_a_procfile_says_it_and_its_other_types_stay(tmp_path: Path) -> None:
    files = {"app.py": "import flask\napp = flask.Flask('x')\n", "requirements.txt": "flask\ngunicorn\n"}
    told = values(tmp_path, {**files, "Procfile": "worker: python work.py\n"})
    assert told["processes"] == {"worker": "python work.py", "web": "gunicorn --bind 127.0.0.1:$PORT app:app"}
    assert "processes" not in values(tmp_path, {**files, "Procfile": "web: python app.py\n"})


def test_a_tree_without_an_application_or_with_one_that_does_not_parse_says_nothing(tmp_path: Path) -> None:
    assert "processes" not in values(tmp_path, {"requirements.txt": "flask", "app.py": "app = Flask(\n"})
    assert "processes" not in values(tmp_path, {"main.py": "print('x')\n"})


MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.dev")\n'


def test_a_django_site_says_its_settings_its_server_and_what_they_read(tmp_path: Path) -> None:
    settings = (
        'WSGI_APPLICATION = "mysite.wsgi.application"\nALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "").split(",")\n'
        'DATABASES = {"default": env.db("DATABASE_URL")}\n'
    )
    told = values(
        tmp_path,
        {
            "manage.py": MANAGE,
            "mysite/wsgi.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.production")\n',
            "mysite/settings/base.py": settings,
            "mysite/settings/production.py": "from .base import *\n",
            "requirements.txt": "django==5.2.19\ngunicorn==23.0.0\n",
        },
        django,
    )
    assert told["processes"] == {"web": "gunicorn --bind 127.0.0.1:$PORT mysite.wsgi:application"}
    env = told["env"]
    assert isinstance(env, dict)
    assert env["DJANGO_SETTINGS_MODULE"] == "mysite.settings.production"
    assert env["DATABASE_URL"] == "sqlite:///{data_root}/db.sqlite3"
    assert env["ALLOWED_HOSTS"].startswith("{domain}")
