"""Routes that go from a request to a command without detours.

For each request, FastAPI and Starlette go through a stack of middleware, try one route after the other, read the body
through generators into Python objects, resolve dependencies and validate afterwards: several times the work of
deciding a command. A command needs none of it. Its route is found in a table, its path and its body are validated by
pydantic from the bytes, and the endpoint's answer is sent as it is. All other requests, the errors' handlers and the
OpenAPI document are FastAPI's, from the same routes. See docs/adr/0014-the-hot-path.md.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from service.bodies import limited
from service.problems import located

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CommandRoute(APIRoute):
    """A route whose endpoint takes `request`, path parameters, and at most one pydantic model as `body`."""

    def get_route_handler(self) -> _Handler:
        """What is called for each request. Raises RequestValidationError that names each wrong field."""
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
                    errors += located(error, "path", name)
            if body is not None:
                try:
                    values["body"] = body.model_validate_json(await request.body())
                except ValidationError as error:
                    errors += located(error, "body")
            if errors:
                raise RequestValidationError(errors)
            response: Response = await endpoint(request, **values)
            return response

        return handler


class CommandApp(FastAPI):
    """A FastAPI application that serves command routes itself; to be told of them by `serve_directly`."""

    def serve_directly(self, routes: Iterable[BaseRoute], max_body_bytes: int) -> None:
        """Serve those of `routes` that are CommandRoutes, with bodies of at most `max_body_bytes`."""
        self._directory = Directory(route for route in routes if isinstance(route, CommandRoute))
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        handler = self._directory.find(scope) if scope["type"] == "http" and not scope.get("root_path") else None
        if handler is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request = _DirectRequest(scope, limited(scope, receive, self._max_body_bytes), send)
        try:
            response = await handler(request)
        except Exception as error:
            response = await self._refusal(request, error)
        await response(scope, receive, send)

    async def _refusal(self, request: Request, error: Exception) -> Response:
        """What the handler of the error's closest class answers, as Starlette would choose it."""
        handler = next(self.exception_handlers[kind] for kind in type(error).__mro__ if kind in self.exception_handlers)
        response: Response = await handler(request, error)  # type: ignore[misc]  # ours are all async
        return response


class Directory:
    """Finds the route of a method and a path by the path's fixed segments, however many routes there are."""

    def __init__(self, routes: Iterable[CommandRoute]) -> None:
        # For each method and number of segments, where the fixed ones may stand; for these, handlers and parameters.
        self._layouts: dict[tuple[str, int], list[tuple[int, ...]]] = {}
        self._routes: dict[tuple[str, ...], tuple[CommandRoute, _Handler, dict[str, int]]] = {}
        for route in routes:
            segments = route.path.split("/")
            named = {segment[1:-1]: index for index, segment in enumerate(segments) if segment.startswith("{")}
            fixed = tuple(index for index in range(len(segments)) if index not in named.values())
            for method in route.methods or ():
                layouts = self._layouts.setdefault((method, len(segments)), [])
                if fixed not in layouts:
                    layouts.append(fixed)
                key = (method, *(segments[index] for index in fixed))
                self._routes[key] = (route, route.get_route_handler(), named)

    def find(self, scope: Scope) -> _Handler | None:
        """The handler of a request, whose `path_params` and `route` are set; None when no route here is for it."""
        method, segments = scope["method"], scope["path"].split("/")
        for fixed in self._layouts.get((method, len(segments)), ()):
            found = self._routes.get((method, *[segments[index] for index in fixed]))
            if found:
                scope["route"], handler, named = found
                scope["path_params"] = {name: segments[index] for name, index in named.items()}
                return handler if all(scope["path_params"].values()) else None
        return None


class _DirectRequest(Request):
    """Starlette's request, with its headers in a dictionary and its body read without generators."""

    @property
    def headers(self) -> Headers:
        """The headers; of one that is there twice, the first."""
        if not hasattr(self, "_headers"):
            self._headers = _Headers(scope=self.scope)
        return self._headers

    async def body(self) -> bytes:
        """The whole body. Raises ClientDisconnect, and what `limited` does."""
        if not hasattr(self, "_body"):
            chunks, more = [], True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(chunks)
        return self._body


class _Headers(Headers):
    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._first = dict(reversed(self._list))

    def get(self, key: str, default: Any = None) -> Any:
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")
