"""A page of Bottle's."""

import bottle

app = bottle.Bottle()


@app.get("/")
def index() -> str:
    return "bottle, from pyproject.toml alone"
