"""Each hop of a record: its span follows the record's traceparent, and what comes of it follows the span."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from command_side.domain.commands import Command, ConfirmOrder, PlaceOrder
from command_side.domain.rejections import Rejection
from command_side.order_store import OrderStore
from command_side.outcomes import CommandRequest
from command_side.partition_state import PartitionState
from command_side.traced_batch import TracedBatch
from eventlog.messages import Message, message_headers, read_message
from eventlog.recorded import KafkaRecord, Metadata, from_headers, read_record, to_headers
from eventlog.settings import Settings
from projections.checkpoints import Applied
from projections.generations import Generation
from projections.metrics import Metrics
from projections.publishing import Outbox, Publisher
from projections.read_ahead import DecodedRecord
from projections.worker import Worker
from schemas import public_events
from schemas.events import Address, Line, OrderConfirmed
from schemas.public_events import InventoryReserved
from service.schema_lookup import SchemaLookup
from service.tracing import Hops
from subscribers.deliveries import Delivery, Opened
from subscribers.email.subscription import mail_of
from subscribers.order_process.commands import _headers
from subscribers.order_process.process import steps
from subscribers.outbox import Dead, Done, Outcome, Task
from subscribers.parking import SetAside
from subscribers.traced import Taking, traced
from tests.kit.codec import local_codec
from tests.kit.subscribers import told_of
from tests.tracing.seen import MALFORMED, SAMPLED, UNSAMPLED, only, parent, traceparent

NOW, ORDER, CODEC = datetime.now(UTC), uuid4(), local_codec()
ADDRESS = Address("Ada", "12 St James's Square", "London", "SW1Y 4JH", "GB")
PLACE = PlaceOrder(ORDER, "customer-1", "ada@example.com", "EUR", (Line("TEA", 2, 500),), ADDRESS)
NOT_FOLLOWED = ["", UNSAMPLED, *MALFORMED]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PartitionState]:
    opened = PartitionState(OrderStore.open(tmp_path, "a log"), timedelta(days=7), cached_orders=10)
    yield opened
    opened.close()


def request(command: Command, trace: str, key: str = "") -> CommandRequest:
    return CommandRequest(command, key or str(uuid4()), key, None, NOW, NOW, "correlation", trace)


def carried(headers: Sequence[tuple[str, bytes]]) -> str:
    return dict(headers).get("traceparent", b"").decode()


def test_an_event_follows_from_the_append_of_its_command(state: PartitionState, spans: InMemorySpanExporter) -> None:
    batch = TracedBatch(3, state, CODEC, 1)
    batch.decide(request(PLACE, SAMPLED, "k"))
    assert spans.get_finished_spans() == (), "not before it is in the log"
    batch.decide(request(PLACE, SAMPLED, "k"))
    batch.commit()
    span = only(spans)
    assert (span.name, span.kind, parent(span)) == ("send t.order.events", SpanKind.PRODUCER, SAMPLED)
    assert carried(batch.drafts[0].headers) == traceparent(span)
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "t.order.events",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": str(ORDER),
    }


def test_a_command_without_events_and_a_batch_that_failed_leave_no_span(
    state: PartitionState, spans: InMemorySpanExporter
) -> None:
    refused = TracedBatch(3, state, CODEC, 1)
    assert isinstance(refused.decide(request(ConfirmOrder(uuid4()), SAMPLED)), Rejection)
    refused.commit()
    TracedBatch(3, state, CODEC, 1).decide(request(PLACE, SAMPLED))
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("given", NOT_FOLLOWED)
def test_what_is_not_sampled_goes_on_as_it_came(state: PartitionState, spans: InMemorySpanExporter, given: str) -> None:
    batch = TracedBatch(3, state, CODEC, 1)
    batch.decide(request(PLACE, given))
    batch.commit()
    message = Message("e", "order.placed", NOW, told_of(public_events.OrderConfirmed, ORDER, 2), traceparent=given)
    assert Hops("send").carried([message]) == [message]
    assert (carried(batch.drafts[0].headers), spans.get_finished_spans()) == (given, ())


class Applying(Worker):
    """A worker whose view takes everything; `seen` is what it was given."""

    async def apply_once(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        self.seen = [record for some in records.values() for record in some]
        return {partition: Applied(some[-1].offset + 1, len(some)) for partition, some in records.items()}

    async def positions(self) -> Mapping[int, int]:
        return {}

    async def close(self) -> None:
        pass


def worker() -> Applying:
    schemas = SchemaLookup(cast(Callable[[int], Any], None))
    made = Applying(Settings(_env_file=None), schemas, Metrics(Generation("orders", 1)))
    made.group = "t.orders"
    return made


def record(trace: str, offset: int = 7) -> DecodedRecord:
    event = OrderConfirmed(ORDER, 500)
    about = Metadata("e", NOW, str(ORDER), 2, 1, "c", "c", "c", traceparent=trace)
    raw: Any = DecodedRecord(offset, 0, str(ORDER).encode(), CODEC.encode(event), to_headers(event, about), None)  # type: ignore[arg-type]
    raw.recorded = read_record(CODEC, 1, raw)
    decoded: DecodedRecord = raw
    return decoded


async def test_a_projection_has_a_span_for_each_sampled_event_and_hands_it_on(spans: InMemorySpanExporter) -> None:
    applying = worker()
    await applying.apply({1: [record(SAMPLED, 7), *(record(one, 8) for one in NOT_FOLLOWED)]})
    span = only(spans)
    assert (span.name, span.kind, parent(span)) == ("process t.order.events", SpanKind.CONSUMER, SAMPLED)
    told = span.attributes or {}
    assert (told["messaging.consumer.group.name"], told["messaging.kafka.offset"]) == ("t.orders", 7)
    going_on = [cast(DecodedRecord, one).recorded.metadata.traceparent for one in applying.seen]
    assert going_on[0] == traceparent(span)
    assert set(going_on[1:]) <= set(NOT_FOLLOWED)


async def test_a_rebuild_has_no_spans(spans: InMemorySpanExporter) -> None:
    applying = worker()
    applying.ends = {1: 100}
    await applying.apply({1: [record(SAMPLED)]})
    assert (len(applying.seen), spans.get_finished_spans()) == (1, ())


class Sending:
    """A publisher that takes everything, or nothing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent: list[Message] = []

    def draft(self, message: Message) -> Message:
        return message

    async def send(self, drafts: Sequence[Message], _meanwhile: object) -> None:
        if self.error:
            raise self.error
        self.sent += drafts


class Connected:
    """A connection on which anything may be executed."""

    async def execute(self, _statement: str) -> None:
        pass


def message(topic: str = "order.confirmed", trace: str = SAMPLED) -> Message:
    return Message("e", topic, NOW, told_of(public_events.OrderConfirmed, ORDER, 2), "c", "c", trace)


async def test_a_public_event_follows_from_its_sending(spans: InMemorySpanExporter) -> None:
    for publisher in (Sending(RuntimeError("no broker")), Sending()):
        outbox = Outbox(cast(Publisher, publisher))
        outbox.add([message()])
        if publisher.error:
            with pytest.raises(RuntimeError):
                await outbox.send(cast(Any, Connected()))
        else:
            await outbox.send(cast(Any, Connected()))
    span = only(spans)
    assert (span.name, parent(span)) == ("send t.order.confirmed", SAMPLED)
    assert [one.traceparent for one in publisher.sent] == [traceparent(span)]


def opened(offset: int, one: Message | None) -> Opened:
    return Opened(Delivery("order.confirmed", 0, offset, 0, str(ORDER).encode(), b"", ()), one)


def test_a_subscriber_has_one_span_for_a_message_over_all_attempts(spans: InMemorySpanExporter) -> None:
    taking, batch = Taking("t.email"), [opened(0, message()), opened(1, None), opened(2, message(trace=""))]
    first, again = taking.begin(batch), taking.begin(batch)
    assert first == again
    assert spans.get_finished_spans() == ()
    taking.end([])
    span = only(spans)
    assert (span.name, parent(span), span.status.is_ok) == ("process t.order.confirmed", SAMPLED, True)
    assert first == [replace(batch[0], message=message(trace=traceparent(span))), *batch[1:]]


def test_a_message_that_was_parked_says_so(spans: InMemorySpanExporter) -> None:
    taking, batch = Taking("t.email"), [opened(0, message())]
    taking.begin(batch)
    taking.end([SetAside(batch[0].delivery, "no good")])
    assert (only(spans).status.is_ok, only(spans).status.description) == (False, "parked")


async def test_a_command_and_a_mail_follow_from_the_attempt_at_them(spans: InMemorySpanExporter) -> None:
    reserved = Message("e", "inventory.reserved", NOW, InventoryReserved(ORDER, 1), traceparent=SAMPLED)
    mail = mail_of(message())
    assert mail
    outcomes: list[Outcome] = [Done(), Dead("550 <ada@example.com> is unknown")]
    done: list[Task] = []

    async def perform(task: Task) -> Outcome:
        done.append(task)
        return outcomes[len(done) - 1]

    for name, task in (("send command", steps(reserved, 60).owed[0]), ("send mail", mail)):
        await traced(perform, name)(task)
    command, sent = spans.get_finished_spans()
    assert [(one.name, one.kind, parent(one)) for one in (command, sent)] == [
        ("send command", SpanKind.CLIENT, SAMPLED),
        ("send mail", SpanKind.CLIENT, SAMPLED),
    ]
    assert _headers(done[0])["traceparent"] == traceparent(command)
    assert (command.status.is_ok, sent.status.is_ok, sent.status.description) == (True, False, "Dead")


async def test_a_task_without_a_trace_and_a_task_while_traces_are_off_have_none() -> None:
    async def perform(task: Task) -> Outcome:
        return Done()

    assert traced(perform, "send mail") is perform
    untraced = mail_of(message(trace=""))
    assert untraced
    assert "traceparent" not in untraced.what, "as rows of before"


@pytest.mark.parametrize("given", [b"nonsense", b"\xff\x00", None, SAMPLED.encode() + b"-more"])
def test_a_malformed_header_is_no_fault_of_the_record(given: Any) -> None:
    about = Metadata("e", NOW, str(ORDER), 2, 1, "c", "c", "c")
    told = [*to_headers(OrderConfirmed(ORDER, 500), about), ("traceparent", given)]
    assert from_headers(told) == about
    plain = message(trace="")
    assert read_message([*message_headers(plain, "test"), ("traceparent", given)], plain.event) == plain


def test_off_nothing_is_made_anew() -> None:
    batch = [opened(0, message())]
    assert Taking("t.email").begin(batch) is batch
    assert Hops("send").carried([message()]) == [message()]
