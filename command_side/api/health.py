"""Liveness and readiness of the command API."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from command_side.routing import Router

# Never made to wait behind commands: who asks these wants to know how it stands now.
PATHS = frozenset({"/healthz", "/readyz", "/owners"})

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "some partitions have no owner"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether every partition has an owner, here or in another instance; if not, which have none and why."""
    partitions: Router = request.app.state.router
    waiting = [asdict(status) for status in partitions.status() if status.reason]
    body = {"status": "not ready" if waiting else "ready", "waiting": waiting}
    return JSONResponse(body, 503 if waiting else 200)


@router.get("/owners")
async def owners(request: Request) -> dict[str, list[dict[str, Any]]]:
    """Which instance writes each partition, as this one knows it."""
    partitions: Router = request.app.state.router
    return {"partitions": [asdict(status) for status in partitions.status()]}
