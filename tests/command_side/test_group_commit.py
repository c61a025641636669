"""The pure half of the writer: what a batch decides, and what becomes visible when."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from command_side.domain.commands import AddLine, CancelOrder, Command, ConfirmOrder, PlaceOrder, RecordPayment
from command_side.domain.rejections import Rejection
from command_side.group_commit import Batch
from command_side.order_store import OrderStore
from command_side.outcomes import Accepted, CommandRequest, KeyReused, VersionConflict
from command_side.partition_state import PartitionState
from eventlog.positions import Position
from schemas.codec import Codec
from schemas.events import Address, Line
from tests.kit.codec import local_codec

NOW, KEPT = datetime.now(UTC), timedelta(days=7)
ADDRESS = Address("Ada", "12 St James's Square", "London", "SW1Y 4JH", "GB")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PartitionState]:
    opened = PartitionState(OrderStore.open(tmp_path, "a log"), KEPT, cached_orders=10)
    yield opened
    opened.close()


def place(order_id: UUID) -> PlaceOrder:
    return PlaceOrder(order_id, "customer-1", "ada@example.com", "EUR", (Line("TEA", 2, 500),), ADDRESS)


def request(command: Command, key: str = "", body: str = "", expected: int | None = None) -> CommandRequest:
    fingerprint = f"fingerprint of {body}" if key else ""
    return CommandRequest(command, key or str(uuid4()), fingerprint, expected, NOW, NOW, "correlation")


def batch(state: PartitionState, codec: Codec | None = None) -> Batch:
    return Batch(partition=3, state=state, codec=codec or local_codec(), term=1)


def test_commands_on_one_order_in_one_batch_see_each_other(state: PartitionState) -> None:
    order_id = uuid4()
    state.commit({}, {}, 10, "the tenth")
    group = batch(state)
    assert group.decide(request(place(order_id))) == Accepted(order_id, 1, Position(3, 10))
    assert group.decide(request(ConfirmOrder(order_id))) == Accepted(order_id, 2, Position(3, 11))
    rejected = group.decide(request(AddLine(order_id, "CUP", 1, 100)))
    assert isinstance(rejected, Rejection)
    assert len(group.drafts) == 2


def test_nothing_is_visible_before_the_commit_and_all_of_it_after(state: PartitionState) -> None:
    order_id = uuid4()
    group = batch(state)
    group.decide(request(place(order_id), key="k"))
    assert (state.order(order_id), state.receipt((order_id, "k"), NOW), state.next_offset) == (None, None, 0)
    group.commit()
    order = state.order(order_id)
    assert order
    assert order.version == 1
    assert state.next_offset == 1
    assert state.receipt((order_id, "k"), NOW)


def test_a_repeated_key_gets_the_same_answer_and_no_event(state: PartitionState) -> None:
    order_id = uuid4()
    first = batch(state)
    answer = first.decide(request(place(order_id), key="k", body="a"))
    assert first.decide(request(place(order_id), key="k", body="a")) == answer
    first.commit()
    second = batch(state)
    assert second.decide(request(place(order_id), key="k", body="a")) == answer
    assert second.drafts == []


def test_keys_are_forgotten_by_age_and_a_repeat_is_then_a_new_command(state: PartitionState) -> None:
    old, recent = uuid4(), uuid4()
    group = batch(state)
    group.decide(replace(request(place(old), key="k"), recorded_at=NOW - KEPT - timedelta(minutes=1)))
    group.decide(replace(request(place(recent), key="k"), recorded_at=NOW - KEPT + timedelta(minutes=1)))
    group.commit()
    for saved in (False, True):
        if saved:
            state.save()
        again = batch(state).decide(request(place(old), key="k"))
        assert isinstance(again, Rejection)
        assert again.type == "order-exists"
        assert isinstance(batch(state).decide(request(place(recent), key="k")), Accepted)


def test_a_key_with_another_body_is_refused(state: PartitionState) -> None:
    order_id = uuid4()
    group = batch(state)
    group.decide(request(place(order_id), key="k", body="a"))
    assert group.decide(request(place(order_id), key="k", body="b")) == KeyReused("k")


def test_a_key_belongs_to_one_order(state: PartitionState) -> None:
    one, other = uuid4(), uuid4()
    group = batch(state)
    group.decide(request(place(one), key="k"))
    assert isinstance(group.decide(request(place(other), key="k")), Accepted)


def test_of_two_with_the_same_expected_version_the_first_wins(state: PartitionState) -> None:
    order_id = uuid4()
    group = batch(state)
    group.decide(request(place(order_id)))
    assert isinstance(group.decide(request(AddLine(order_id, "CUP", 1, 100), expected=1)), Accepted)
    assert group.decide(request(AddLine(order_id, "POT", 1, 100), expected=1)) == VersionConflict(1, 2)


def test_a_command_of_two_events_answers_with_the_last(state: PartitionState) -> None:
    order_id = uuid4()
    group = batch(state)
    for command in (place(order_id), ConfirmOrder(order_id), RecordPayment(order_id, 400, "pay-1")):
        group.decide(request(command))
    assert group.decide(request(CancelOrder(order_id, "too late"))) == Accepted(order_id, 5, Position(3, 4))
    assert len(group.drafts) == 5
