"""Routes that go from a request to a command without detours.

FastAPI reads a body into Python objects, resolves dependencies for each request and validates afterwards, which costs
several times what deciding a command does. A command needs none of it: its path and its body are validated by pydantic
from the bytes. The OpenAPI document is still FastAPI's, from the same signatures.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CommandRoute(APIRoute):
    """A route whose endpoint takes `request`, path parameters, and at most one pydantic model as `body`."""

    def get_route_handler(self) -> _Handler:
        """What FastAPI calls for each request. Raises RequestValidationError that names each wrong field."""
        parameters = inspect.signature(self.endpoint).parameters
        paths = {name: TypeAdapter(parameters[name].annotation) for name in self.param_convertors}
        body: type[BaseModel] | None = parameters["body"].annotation if "body" in parameters else None
        endpoint = self.endpoint

        async def handler(request: Request) -> Response:
            errors: list[Any] = []
            values: dict[str, Any] = {}
            for name, adapter in paths.items():
                try:
                    values[name] = adapter.validate_python(request.path_params[name])
                except ValidationError as error:
                    errors += _located(error, "path", name)
            if body is not None:
                try:
                    values["body"] = body.model_validate_json(await request.body())
                except ValidationError as error:
                    errors += _located(error, "body")
            if errors:
                raise RequestValidationError(errors)
            response: Response = await endpoint(request, **values)
            return response

        return handler


def _located(error: ValidationError, *where: str) -> list[Any]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{**one, "loc": (*where, *one["loc"])} for one in found]
