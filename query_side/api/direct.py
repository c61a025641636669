"""Routes that go from a request to a query without detours.

FastAPI resolves dependencies anew for each request, which costs more than a query's share of a grouped read. A query
has a path, perhaps parameters, and a position to wait for; pydantic validates them and nothing else is done. The
OpenAPI document is still FastAPI's, from the same signatures.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, get_origin

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from query_side.api.conditions import reach_position
from query_side.wait import Reached
from service.problems import located

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Parameters(BaseModel):
    """Query parameters; unknown ones are errors: a misspelt one must not be dropped in silence."""

    model_config = ConfigDict(extra="forbid")


class QueryRoute(APIRoute):
    """A route whose endpoint takes `request`, path parameters, and at most one model as `parameters`.

    It waits for Orderlog-Min-Position before the endpoint is called.
    """

    @staticmethod
    def reached(request: Request) -> Reached:
        """How far the view has come that is waited for."""
        found: Reached = request.app.state.reached
        return found

    def get_route_handler(self) -> _Handler:
        """What FastAPI calls for each request. Raises RequestValidationError, NotReached."""
        signature = inspect.signature(self.endpoint).parameters
        paths = {name: TypeAdapter(signature[name].annotation) for name in self.param_convertors}
        annotation = signature["parameters"].annotation if "parameters" in signature else Parameters
        model: type[Parameters] = annotation.__origin__ if hasattr(annotation, "__origin__") else annotation
        takes_parameters, defaults, endpoint = "parameters" in signature, model(), self.endpoint
        reached = self.reached

        async def handler(request: Request) -> Response:
            errors: list[Any] = []
            values: dict[str, Any] = {}
            for name, adapter in paths.items():
                try:
                    values[name] = adapter.validate_python(request.path_params[name])
                except ValidationError as error:
                    errors += located(error, "path", name)
            parameters = defaults
            if request.scope["query_string"]:
                try:
                    parameters = model.model_validate(_given(request, model))
                except ValidationError as error:
                    errors += located(error, "query")
            if errors:
                raise RequestValidationError(errors)
            if takes_parameters:
                values["parameters"] = parameters
            if "orderlog-min-position" in request.headers:
                await reach_position(request, reached(request))
            response: Response = await endpoint(request, **values)
            return response

        return handler


def _given(request: Request, model: type[Parameters]) -> dict[str, Any]:
    """The query's values by name; of one that takes several, the list. One that was repeated is a list, too."""
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            given.setdefault(name, []).append(value)
        else:
            given[name] = [given[name], value] if name in given else value
    return given
