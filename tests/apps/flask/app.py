"""A page, whose words are in the environment."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"flask {os.environ.get('WORDS', 'says nothing')}"
