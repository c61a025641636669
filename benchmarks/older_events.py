"""What it costs to read an event that was written with an older version of its schema, which an upcaster lifts."""

import time
from io import BytesIO
from uuid import UUID

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from benchmarks.results import Figure
from eventlog.settings import Settings
from schemas import avro
from schemas.codec import EVENT_NAMES, Codec
from schemas.events import OrderShipped

_NAME = "OrderShipped"
_OLDER_ID = len(EVENT_NAMES) + 1
_AT_ONCE = 20_000
_ROUNDS = 15


async def measure(_: Settings) -> list[Figure]:
    """Processor time an event, the least of several rounds taken in turns."""
    older, latest = avro.versions()[_NAME][0], avro.latest(_NAME)
    event = OrderShipped(UUID(int=7), "DHL", "JD0146000034", ("JD0146000034",))
    codec = Codec({name: number for number, name in enumerate(EVENT_NAMES, start=1)}, {_OLDER_ID: older}.__getitem__)
    body, written, read = BytesIO(), parse_schema(older), parse_schema(latest)
    schemaless_writer(body, written, {"order_id": event.order_id, "carrier": event.carrier, "tracking": event.tracking})
    values = {"older": b"\x00" + _OLDER_ID.to_bytes(4) + body.getvalue(), "latest": codec.encode(event)}
    assert codec.decode(values["older"]) == codec.decode(values["latest"]) == event
    taken: dict[str, list[float]] = {"older": [], "latest": [], "fastavro": []}
    for _round in range(_ROUNDS):
        for which, value in values.items():
            start = time.process_time()
            for _event in range(_AT_ONCE):
                codec.decode(value)
            taken[which].append(time.process_time() - start)
        start = time.process_time()
        for _event in range(_AT_ONCE):
            schemaless_reader(BytesIO(body.getvalue()), written, read)
        taken["fastavro"].append(time.process_time() - start)
    least = {which: min(times) / _AT_ONCE * 1e6 for which, times in taken.items()}
    return [
        Figure("read and lift an older event, processor", least["older"], "µs", "the latest version", least["latest"]),
        Figure("read and lift an older event, processor", least["older"], "µs", "fastavro, a dict", least["fastavro"]),
    ]
