"""A command API on a log with events of before, and with one that only a newer release knows."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import ValidationError

from command_side.api.models import ShipmentBody
from eventlog.settings import Settings
from schemas.events import OrderConfirmed, OrderShipped, PaymentRecorded
from tests.kit.newer import of_version_1, wrapped
from tests.kit.requests import order
from tests.kit.worlds import CommandApi, log_of, prepare
from tests.projections.histories import placed
from tests.projections.log import LogWriter, log_writer


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Iterator[CommandApi]:
    process = CommandApi(settings, tmp_path / "api.log")
    yield process
    process.stop()


async def shipped_before(settings: Settings, writer: LogWriter) -> UUID:
    """An order that the first release shipped."""
    first = placed()
    await writer.append([first, OrderConfirmed(first.order_id, 998)])
    for name, fields in (
        ("PaymentRecorded", {"amount": 998, "reference": "pay-1"}),
        ("OrderShipped", {"carrier": "DHL", "tracking": "JD01"}),
    ):
        await writer.append_written(of_version_1(settings, name, first.order_id, **fields), first.order_id)
    return first.order_id


def post(api: CommandApi, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return httpx.post(f"{api.url}/orders{path}", json=body, headers=headers, timeout=30)


def delivered_by_line(api: CommandApi, order_id: UUID) -> Any:
    """What a bulk request says of the command."""
    line = f'{{"command":"deliver_order","idempotency_key":"k","order_id":"{order_id}"}}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    return httpx.post(f"{api.url}/commands", content=line, headers=headers).json()


async def test_events_of_before_are_decided_on_and_new_ones_follow_them(settings: Settings, api: CommandApi) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        old = await shipped_before(settings, writer)
    await asyncio.to_thread(api.start)
    assert post(api, f"/{old}/payments", {"amount": 1, "reference": "pay-1"}).json()["order_status"] == "shipped"
    assert post(api, f"/{old}/deliver").json()["version"] == 5
    new = post(api, "", order()).json()["order_id"]
    assert post(api, f"/{new}/confirm").is_success
    assert post(api, f"/{new}/payments", {"amount": 500, "reference": "pay-2", "method": "card"}).is_success
    assert post(api, f"/{new}/ship", {"carrier": "UPS", "parcels": ["1Z1", "1Z2"]}).is_success
    log = await log_of(settings, codec)
    events = [one.event for one in log if isinstance(one.event, PaymentRecorded | OrderShipped)]
    assert {(type(one).__name__, getattr(one, "method", None), getattr(one, "parcels", None)) for one in events} == {
        ("PaymentRecorded", None, None),
        ("OrderShipped", None, ("JD01",)),
        ("PaymentRecorded", "card", None),
        ("OrderShipped", None, ("1Z1", "1Z2")),
    }


async def test_an_order_with_an_event_of_a_newer_release_takes_no_command(settings: Settings, api: CommandApi) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        known = await shipped_before(settings, writer)
        ahead = await shipped_before(settings, writer)
        await writer.append_written(wrapped(settings, ahead), ahead)
    await asyncio.to_thread(api.start)
    refused = post(api, f"/{ahead}/deliver")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"]
    problem = refused.json()
    assert problem["type"] == "urn:orderlog:problem:newer-release-needed"
    assert "OrderWrapped" in problem["detail"]
    assert "run the newer release" in problem["detail"]
    assert (problem["order_status"], problem["order_version"]) == (None, 5)
    on_a_line = delivered_by_line(api, ahead)
    assert (on_a_line["status"], on_a_line["problem"]["type"]) == (503, problem["type"])
    assert post(api, f"/{known}/deliver").json()["version"] == 5
    # What it saved of the order says so too, so a restart does not forget it.
    await asyncio.to_thread(api.stop)
    await asyncio.to_thread(api.start)
    assert post(api, f"/{ahead}/deliver").json()["type"] == problem["type"]
    assert post(api, f"/{known}/returns", {"lines": [{"sku": "TEA", "quantity": 1}], "reason": "broken"}).is_success
    assert not [one for one in await log_of(settings, codec) if one.metadata.version == 6 and _of(one) == ahead]


def _of(recorded: Any) -> UUID | None:
    return getattr(recorded.event, "order_id", None)


@pytest.mark.parametrize(
    "body",
    [
        {"carrier": "DHL"},
        {"carrier": "DHL", "tracking": "JD01", "parcels": ["JD01"]},
        {"carrier": "DHL", "parcels": []},
        {"carrier": "DHL", "parcels": ["JD01", ""]},
        {"carrier": "DHL", "parcels": "JD01"},
    ],
)
def test_a_shipment_is_one_parcel_or_a_list(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="parcels"):
        ShipmentBody.model_validate(body)
