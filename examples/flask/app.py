"""One page that says which version of it answers, and a health check that a version can fail."""

import os
import zlib
from pathlib import Path

from flask import Flask, render_template

HERE = Path(__file__).resolve().parent

# Read once: a process says what it was started as, whatever stands in the tree by now.
VERSION = (HERE / "VERSION").read_text(encoding="utf-8").strip()
RELEASE = os.environ.get("CORPUS_RELEASE", "")

# A colour for each version, so that a deployment is seen from across the room.
HUE = zlib.crc32(VERSION.encode()) % 360

app = Flask(__name__)


@app.get("/")
def index():
    """Show the version."""
    return render_template("index.html", version=VERSION, release=RELEASE, hue=HUE)


@app.get("/health")
def health():
    """Answer ``ok``, or 500 when the version calls itself broken, which makes a deployment that fails."""
    if "broken" in VERSION:
        return f"version {VERSION} is broken\n", 500, {"Content-Type": "text/plain"}
    return "ok\n", 200, {"Content-Type": "text/plain"}
