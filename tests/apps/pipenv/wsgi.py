"""A page without a framework's application object."""

import bottle


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"pipenv, bottle {bottle.__version__}".encode()]
