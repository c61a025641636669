"""The independent reading of raw records, without a broker: what it decodes, what counts, what it refuses."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from msgspec import structs, to_builtins

from eventlog.recorded import read_record
from projections.verifying.log_events import Decoder, Reading, Unreadable
from schemas import avro
from schemas.avro import Schema
from schemas.codec import EVENT_NAMES
from schemas.events import LogEvent, OrderCancelled, OrderConfirmed, WriterElected
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import Record, record, records

CODEC = local_codec()
NEWER = 1_000


def lookup(schema_id: int) -> Schema:
    """The schemas of `local_codec`, and an OrderConfirmed that has a field more."""
    if schema_id == NEWER:
        schema = avro.latest("OrderConfirmed")
        field = {"name": "note", "type": ["null", "string"], "default": None}
        return {**schema, "fields": [*schema["fields"], field]}
    return avro.latest(dict(enumerate(EVENT_NAMES, start=1))[schema_id])


def reading(*aside: int) -> Reading:
    return Reading(Decoder(lookup), 0, frozenset(aside))


def barrier(offset: int, term: int) -> Record:
    return record(CODEC, offset, WriterElected("writer", term, 1, term, "http://writer"), 0, term)


def offsets(log: list[Record], *aside: int) -> list[int]:
    return [told.offset for told in reading(*aside).take(log)]


def test_it_reads_what_the_codec_reads() -> None:
    random = Random(3)
    erased: list[LogEvent] = [structs.replace(placed(), personal_data=None), OrderCancelled(placed().order_id, None)]
    log = records(CODEC, [*(event for _ in range(50) for event in history(random)), *erased])
    for told, one in zip(reading().take(log), log, strict=True):
        expected = read_record(CODEC, 0, one)
        content = to_builtins(expected.event, builtin_types=(UUID,))
        assert (told.name, told.order_id) == (type(expected.event).__name__, content.pop("order_id"))
        assert told.content == {**content, **({"lines": list(content["lines"])} if "lines" in content else {})}
        assert (told.time, told.recorded_at) == (expected.metadata.time, expected.recorded_at)


def test_a_value_of_another_version_is_read_as_the_latest() -> None:
    one = record(CODEC, 0, OrderConfirmed(placed().order_id, 998))
    one.value = b"\x00" + NEWER.to_bytes(4) + one.value[5:] + b"\x00"
    (told,) = reading().take([one])
    assert told.content == {"total": 998}


def test_what_a_deposed_writer_wrote_does_not_count() -> None:
    log = [
        barrier(0, 1),
        record(CODEC, 1, placed(), term=1),
        barrier(2, 2),
        record(CODEC, 3, placed(), term=1),
        replace(record(CODEC, 4, placed(), term=1), value=b"nonsense"),
        barrier(5, 1),
        record(CODEC, 6, placed(), term=2),
    ]
    assert offsets(log) == [1, 6]


def test_what_was_set_aside_is_left_out_and_a_barrier_among_it_still_deposes() -> None:
    unreadable = replace(barrier(1, 2), value=b"nonsense")
    log = [record(CODEC, 0, placed(), term=1), unreadable, record(CODEC, 2, placed(), term=1)]
    assert offsets(log, 1) == [0]
    assert offsets([replace(log[0], value=b"", headers=[])], 0) == []


@pytest.mark.parametrize("value", [b"", b"\x01nonsense", b"\x00\x00\x00\x03\xe6nonsense"])
def test_what_is_no_event_and_a_hole_are_refused_with_their_place(value: bytes) -> None:
    with pytest.raises(Unreadable, match="the record at 0:0 is no event of ours"):
        offsets([replace(record(CODEC, 0, placed()), value=value)])
    with pytest.raises(Unreadable, match="no record at 0:1"):
        offsets([record(CODEC, 0, placed()), record(CODEC, 2, placed())])
