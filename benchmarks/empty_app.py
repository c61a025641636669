"""The peer of the command API: a FastAPI POST that does nothing, served as the command API is.

`python -m benchmarks.empty_app` listens where the settings have the command API listen.
"""

from fastapi import FastAPI

from eventlog.settings import Settings
from service.serving import run_app
from service.sockets import listen

app = FastAPI()


@app.post("/orders", status_code=201)
async def empty() -> dict[str, str]:
    """Answer at once."""
    return {}


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """The server answers."""
    return {}


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    run_app(app, listen(settings.command_api_host, settings.command_api_port), "empty-api", settings)


if __name__ == "__main__":
    main()
