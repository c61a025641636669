"""Requests made up from the OpenAPI document: whatever they are, the answer is documented and is no bug of ours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from local_stack.infrastructure import Infrastructure
from tests.conftest import settings_for
from tests.kit.worlds import QueryApi
from tests.projections.histories import placed
from tests.query_side.served import View

_EXAMPLES = 25
_CHECKS = [content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api_schema(
    infrastructure: Infrastructure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    world = settings_for(infrastructure.endpoints, folder, f"t{uuid4().hex[:8]}")
    view = View(world)
    asyncio.run(view.make())
    asyncio.run(view.feed(0, [placed() for _ in range(5)]))
    api = QueryApi(world.model_copy(update={"position_wait_s": 0.01}), folder / "api.log")
    api.start()
    yield schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    api.stop()


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_request_is_too_strange(api_schema: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    for result in _operations(api_schema, mode):
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case[Any]) -> None:
            response = case.call()
            assert response.status_code != 500, response.text
            case.validate_response(response, checks=_CHECKS)

        check()


def _operations(schema: schemathesis.BaseSchema, mode: GenerationMode) -> Iterator[Any]:
    # A stream of changes does not end; the positions ask Kafka each time and take nothing. Nearly any text is a
    # customer's id, and orders by status take no parameters, so there are no wrong ones to be made up.
    anything_goes = "|customers|orders-by-status" if mode == GenerationMode.NEGATIVE else ""
    left_out = f"changes|positions|healthz|readyz{anything_goes}"
    yield from schema.exclude(path_regex=left_out).get_all_operations()
