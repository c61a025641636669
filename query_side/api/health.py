"""Liveness and readiness of the query API."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from query_side import queries
from query_side.database import Unavailable
from query_side.sql import ORDERS

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "the views cannot be read now"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether the views can be read; if not, why."""
    try:
        made = {row["projection"] for row in await queries.positions(request.app.state.database)}
        reason = None if ORDERS in made else "the view was not made yet; its worker makes it when it starts"
    except Unavailable as error:
        reason = str(error)
    return JSONResponse({"status": "not ready" if reason else "ready", "reason": reason}, 503 if reason else 200)
