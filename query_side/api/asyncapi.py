"""The AsyncAPI document of the topics, beside the OpenAPI document of the queries, and like that not part of it."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from schemas.asyncapi import document

router = APIRouter()


@router.get("/asyncapi.json", include_in_schema=False)
async def get_asyncapi(request: Request) -> JSONResponse:
    """The topics as an AsyncAPI 3 document."""
    return JSONResponse(document(request.app.state.settings))
