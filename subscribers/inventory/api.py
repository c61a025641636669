"""The inventory's REST interface: see the stock, receive pieces, adjust what a count has shown to be wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from schemas.events import SKU_PATTERN
from service.idempotency import KEY_SCHEMA, idempotency_key
from service.problems import documented, problem
from subscribers.inventory.level import Level
from subscribers.inventory.models import (
    AdjustmentBody,
    LevelBody,
    PageParameters,
    ReceiptBody,
    StockBody,
)
from subscribers.inventory.movements import KeyReused, Moved, Movement, StockDatabase, TooFew, Unavailable, UnknownSku

_WITH_KEY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes a repeat safe: the same key on the same sku gets the same answer.",
            "schema": KEY_SCHEMA,
            "example": "delivery-note-4711",
        }
    ]
}
Sku = Annotated[str, Path(pattern=SKU_PATTERN, description="the article", examples=["TEA-EARL-GREY-100"])]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with StockDatabase(app.state.settings.postgres_url) as database:
        app.state.stock = database
        yield


router = APIRouter(prefix="/stock", tags=["stock"], lifespan=_lifespan)


@router.get("", response_model=StockBody, responses=documented(422, 503))
async def list_stock(request: Request, parameters: Annotated[PageParameters, Query()]) -> Response:
    """The stock, sku by sku, page by page."""
    try:
        found = await _database(request).page(parameters.prefix, parameters.after, parameters.limit + 1)
    except Unavailable as error:
        return _unavailable(request, error)
    page = found[: parameters.limit]
    cursor = page[-1][0] if len(found) > len(page) else None
    headers = {}
    if cursor:
        following = request.url.include_query_params(after=cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    body = StockBody(stock=[LevelBody.of(sku, level) for sku, level in page], next_cursor=cursor)
    return JSONResponse(body.model_dump(), headers=headers)


@router.get("/{sku}", response_model=LevelBody, responses=documented(404, 422, 503))
async def get_level(request: Request, sku: Sku) -> Response:
    """How many pieces of a sku there are."""
    try:
        level = await _database(request).level(sku)
    except Unavailable as error:
        return _unavailable(request, error)
    return _answer(request, sku, level or UnknownSku())


@router.post(
    "/{sku}/receipts",
    response_model=LevelBody,
    responses=documented(400, 413, 415, 422, 503),
    openapi_extra=_WITH_KEY,
)
async def receive(request: Request, sku: Sku, body: ReceiptBody) -> Response:
    """Pieces came in: they are available. The first receipt of a sku makes it known."""
    return await _move(request, sku, Movement("receipt", body.quantity))


@router.post(
    "/{sku}/adjustments",
    response_model=LevelBody,
    responses=documented(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=_WITH_KEY,
)
async def adjust(request: Request, sku: Sku, body: AdjustmentBody) -> Response:
    """A count has shown more pieces to be available, or fewer; those that are reserved are not touched."""
    return await _move(request, sku, Movement("adjustment", body.quantity, body.reason))


async def _move(request: Request, sku: str, movement: Movement) -> Response:
    key = idempotency_key(request)
    try:
        return _answer(request, sku, await _database(request).move(sku, movement, key))
    except Unavailable as error:
        return _unavailable(request, error)


def _answer(request: Request, sku: str, moved: Moved) -> Response:
    match moved:
        case Level():
            return JSONResponse(LevelBody.of(sku, moved).model_dump())
        case UnknownSku():
            detail = f"nothing of {sku} was ever received; POST /stock/{sku}/receipts makes it known"
            return problem(request, 404, "sku-not-found", "The stock does not know this sku", detail)
        case TooFew(available):
            detail = f"only {available} of {sku} are available; those that are reserved or shipped cannot be missing"
            title = "So many pieces are not available"
            return problem(request, 409, "too-few-available", title, detail, members={"available": available})
        case KeyReused():
            detail = f"Idempotency-Key {request.headers['idempotency-key']!r} belongs to another movement of {sku}"
            title = "The key was used for another request"
            return problem(request, 422, "idempotency-key-reused", title, f"{detail}; use a new key")


def _unavailable(request: Request, error: Unavailable) -> Response:
    detail = str(error)
    if request.method == "POST":
        detail += "; it may have been done: send the same Idempotency-Key again to learn that"
    return problem(request, 503, "stock-unavailable", "The stock cannot be reached now", detail, {"Retry-After": "1"})


def _database(request: Request) -> StockDatabase:
    database: StockDatabase = request.app.state.stock
    return database
