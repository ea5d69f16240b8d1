"""An API."""

from importlib.metadata import version

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def today() -> dict[str, str]:
    return {"sky": "fastapi blue", "version": version("weather")}
