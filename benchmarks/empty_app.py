"""The peer of the command API: a FastAPI POST that does nothing."""

from fastapi import FastAPI

app = FastAPI()


@app.post("/orders", status_code=201)
async def empty() -> dict[str, str]:
    """Answer at once."""
    return {}


@app.get("/ready")
async def ready() -> dict[str, str]:
    """The server answers."""
    return {}
