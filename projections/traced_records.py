"""Spans of the events that a projection takes: of those whose trace is sampled, and none while a view is rebuilt."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from eventlog.recorded import KafkaRecord, traceparent_in
from projections.read_ahead import DecodedRecord
from schemas.topics import ORDER_EVENTS
from service import tracing
from service.tracing import Hops, Record


def begin(group: str, records: Mapping[int, Sequence[KafkaRecord]]) -> Hops:
    """Spans of `records`, {partition: records}, that the consumer group processes now.

    What was decoded ahead goes on with its span's traceparent, and so do the events that it is told to the world by.
    """
    hops = Hops("process", group)
    for partition, some in records.items():
        for record in some:
            given = _traceparent(record)
            if tracing.may_be_sampled(given):
                key = (record.key or b"").decode(errors="replace")
                going_on = hops.begin(Record(ORDER_EVENTS.name, key, partition, record.offset), given)
                if going_on is not given and isinstance(record, DecodedRecord):
                    metadata = replace(record.recorded.metadata, traceparent=going_on)
                    record.recorded = replace(record.recorded, metadata=metadata)
    return hops


def _traceparent(record: KafkaRecord) -> str:
    if isinstance(record, DecodedRecord):
        return record.recorded.metadata.traceparent
    return traceparent_in(dict(record.headers))
