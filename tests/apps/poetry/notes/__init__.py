"""Notes, made by a factory."""

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: "poetry, by a factory")
    return app
