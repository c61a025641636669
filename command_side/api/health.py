"""Liveness and readiness of the command API."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from command_side.writers import Writers

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "some partitions are not served here"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether every partition is served; if not, which are not and why."""
    writers: Writers = request.app.state.writers
    waiting = [asdict(status) for status in writers.status() if status.reason]
    body = {"status": "ready" if writers.ready else "not ready", "waiting": waiting}
    return JSONResponse(body, 200 if writers.ready else 503)
