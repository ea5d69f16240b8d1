"""Small applications of the frameworks that people use. Each shows its version; ``/slow`` takes two seconds; ``/health``
is ill when the version says so."""

FLASK = {
    "requirements.txt": (
        "flask==3.1.3\ngunicorn==27.0.1\nblinker==1.9.0\nclick==8.5.1\nitsdangerous==2.2.0\njinja2==3.1.6\n"
        "markupsafe==3.0.4\nwerkzeug==3.1.9\n"
    ),
    "Procfile": "web: gunicorn --bind 127.0.0.1:$PORT --workers 2 --threads 8 --no-control-socket app:app\n",
    "app.py": """\
import time
from pathlib import Path

from flask import Flask

app = Flask(__name__)
VERSION = Path("VERSION").read_text().strip()


@app.get("/")
def index():
    return VERSION


@app.get("/slow")
def slow():
    time.sleep(2)
    return VERSION


@app.get("/health")
def health():
    return ("ill", 500) if "ill" in VERSION else "ok"
""",
}
DJANGO = {
    "requirements.txt": "django==5.2.19\ngunicorn==27.0.1\nasgiref==3.13.0\nsqlparse==0.6.1\n",
    "Procfile": "web: gunicorn --bind 127.0.0.1:$PORT --workers 2 --threads 8 --no-control-socket site_.wsgi\n",
    "manage.py": """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
execute_from_command_line(sys.argv)
""",
    "site_/__init__.py": "",
    "site_/settings.py": """\
import os

SECRET_KEY = "only for a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_.urls"
WSGI_APPLICATION = "site_.wsgi.application"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATA_ROOT", ".") + "/db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "site_/wsgi.py": """\
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
application = get_wsgi_application()
""",
    "site_/urls.py": """\
import time
from pathlib import Path

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path

VERSION = Path("VERSION").read_text().strip()


def index(request):
    return HttpResponse(VERSION)


def slow(request):
    time.sleep(2)
    return HttpResponse(VERSION)


def health(request):
    User.objects.count()
    return HttpResponse("ill", status=500) if "ill" in VERSION else HttpResponse("ok")


urlpatterns = [path("", index), path("slow", slow), path("health", health)]
""",
}
NODE = {
    "package.json": '{"name": "versions", "version": "1.0.0", "private": true, "scripts": {"start": "node server.js"}}\n',
    "package-lock.json": (
        '{"name": "versions", "version": "1.0.0", "lockfileVersion": 3, "requires": true, '
        '"packages": {"": {"name": "versions", "version": "1.0.0"}}}\n'
    ),
    "Procfile": "web: node server.js\n",
    "server.js": """\
const fs = require("fs");
const version = fs.readFileSync("VERSION", "utf8").trim();
const server = require("http").createServer((request, response) => {
  if (request.url === "/health" && version.includes("ill")) response.statusCode = 500;
  setTimeout(() => response.end(version), request.url === "/slow" ? 2000 : 0);
});
server.listen(process.env.PORT, "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
""",
}
PHP = {
    "index.php": """\
<?php
$version = trim(file_get_contents(__DIR__ . "/VERSION"));
if ($_SERVER["REQUEST_URI"] === "/slow") sleep(2);
if ($_SERVER["REQUEST_URI"] === "/health" && str_contains($version, "ill")) http_response_code(500);
echo $version;
""",
}
ALL = {"flask": FLASK, "django": DJANGO, "nodejs": NODE, "php": PHP}
