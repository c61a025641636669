"""Requests made up from the OpenAPI document: whatever they are, the answer is documented and is no 5xx."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from local_stack.infrastructure import Infrastructure
from tests.conftest import settings_for
from tests.kit.worlds import CommandApi, prepare

_EXAMPLES = 25
_CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """What is drawn, as lines of a bulk request."""
    return b"\n".join(json.dumps(line).encode() for line in (value if isinstance(value, list) else [value]))


@pytest.fixture(scope="module")
def api_schema(
    infrastructure: Infrastructure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    world = settings_for(infrastructure.endpoints, folder, f"t{uuid4().hex[:8]}")
    asyncio.run(prepare(world))
    api = CommandApi(world, folder / "api.log")
    api.start()
    yield schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    api.stop()


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_request_is_too_strange(api_schema: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    # The pages without parameters have nothing that could be wrong with a request.
    for result in api_schema.exclude(method="GET").get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=_CHECKS)

        check()
