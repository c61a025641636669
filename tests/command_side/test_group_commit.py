"""The pure half of the writer: what a batch decides, and what becomes visible when."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from command_side.domain.commands import AddLine, CancelOrder, Command, ConfirmOrder, PlaceOrder, RecordPayment
from command_side.domain.rejections import Rejection
from command_side.group_commit import Batch
from command_side.outcomes import Accepted, CommandRequest, KeyReused, VersionConflict
from command_side.partition_state import PartitionState
from eventlog.positions import Position
from schemas.codec import Codec
from schemas.events import Address, Line
from tests.kit.codec import local_codec

ADDRESS = Address("Ada", "12 St James's Square", "London", "SW1Y 4JH", "GB")


def place(order_id: UUID) -> PlaceOrder:
    return PlaceOrder(order_id, "customer-1", "ada@example.com", "EUR", (Line("TEA", 2, 500),), ADDRESS)


def request(command: Command, key: str = "", body: str = "", expected: int | None = None) -> CommandRequest:
    fingerprint = f"fingerprint of {body}" if key else ""
    now = datetime.now(UTC)
    return CommandRequest(command, key or str(uuid4()), fingerprint, expected, now, now, "correlation")


def batch(state: PartitionState, codec: Codec | None = None) -> Batch:
    return Batch(partition=3, state=state, codec=codec or local_codec(), term=1)


def test_commands_on_one_order_in_one_batch_see_each_other() -> None:
    state, order_id = PartitionState(next_offset=10), uuid4()
    group = batch(state)
    assert group.decide(request(place(order_id))) == Accepted(order_id, 1, Position(3, 10))
    assert group.decide(request(ConfirmOrder(order_id))) == Accepted(order_id, 2, Position(3, 11))
    rejected = group.decide(request(AddLine(order_id, "CUP", 1, 100)))
    assert isinstance(rejected, Rejection)
    assert len(group.drafts) == 2


def test_nothing_is_visible_before_the_commit_and_all_of_it_after() -> None:
    state, order_id = PartitionState(), uuid4()
    group = batch(state)
    group.decide(request(place(order_id), key="k"))
    assert (state.orders, state.receipts, state.next_offset) == ({}, {}, 0)
    group.commit()
    assert state.orders[order_id].version == 1
    assert state.next_offset == 1
    assert (order_id, "k") in state.receipts


def test_a_repeated_key_gets_the_same_answer_and_no_event() -> None:
    state, order_id = PartitionState(), uuid4()
    first = batch(state)
    answer = first.decide(request(place(order_id), key="k", body="a"))
    assert first.decide(request(place(order_id), key="k", body="a")) == answer
    first.commit()
    second = batch(state)
    assert second.decide(request(place(order_id), key="k", body="a")) == answer
    assert second.drafts == []


def test_keys_are_forgotten_by_age_and_a_repeat_is_then_a_new_command() -> None:
    state, old, recent = PartitionState(), uuid4(), uuid4()
    group = batch(state)
    group.decide(replace(request(place(old), key="k"), recorded_at=datetime(2026, 1, 1, tzinfo=UTC)))
    group.decide(replace(request(place(recent), key="k"), recorded_at=datetime(2026, 1, 9, tzinfo=UTC)))
    group.commit()
    state.forget(before=datetime(2026, 1, 2, tzinfo=UTC))
    assert set(state.receipts) == {(recent, "k")}
    again = batch(state).decide(request(place(old), key="k"))
    assert isinstance(again, Rejection)
    assert again.type == "order-exists"


def test_a_key_with_another_body_is_refused() -> None:
    state, order_id = PartitionState(), uuid4()
    group = batch(state)
    group.decide(request(place(order_id), key="k", body="a"))
    assert group.decide(request(place(order_id), key="k", body="b")) == KeyReused("k")


def test_a_key_belongs_to_one_order() -> None:
    state, one, other = PartitionState(), uuid4(), uuid4()
    group = batch(state)
    group.decide(request(place(one), key="k"))
    assert isinstance(group.decide(request(place(other), key="k")), Accepted)


def test_of_two_with_the_same_expected_version_the_first_wins() -> None:
    state, order_id = PartitionState(), uuid4()
    group = batch(state)
    group.decide(request(place(order_id)))
    assert isinstance(group.decide(request(AddLine(order_id, "CUP", 1, 100), expected=1)), Accepted)
    assert group.decide(request(AddLine(order_id, "POT", 1, 100), expected=1)) == VersionConflict(1, 2)


def test_a_command_of_two_events_answers_with_the_last() -> None:
    state, order_id = PartitionState(), uuid4()
    group = batch(state)
    for command in (place(order_id), ConfirmOrder(order_id), RecordPayment(order_id, 400, "pay-1")):
        group.decide(request(command))
    assert group.decide(request(CancelOrder(order_id, "too late"))) == Accepted(order_id, 5, Position(3, 4))
    assert len(group.drafts) == 5
