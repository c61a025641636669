"""What traces cost a command that is decided and an event that a projection takes: off, not sampled, sampled."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.orders import empty_state, order, request
from benchmarks.results import Figure
from command_side.group_commit import Batch
from command_side.partition_state import PartitionState
from command_side.traced_batch import batch_class
from eventlog.recorded import KafkaRecord, read_record
from eventlog.settings import Settings
from projections.checkpoints import Applied
from projections.generations import Generation
from projections.metrics import Metrics
from projections.read_ahead import DecodedRecord
from projections.worker import Worker
from schemas.codec import Codec
from schemas.publish import load_codec
from service import tracing
from service.schema_lookup import SchemaLookup

_ROUNDS, _COMMANDS, _BATCH = 20, 2_000, 10
_OF = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
_UNSAMPLED, _SAMPLED = f"{_OF}00", f"{_OF}01"


async def measure(settings: Settings) -> list[Figure]:
    """Processor time in µs, medians of rounds in turns."""
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    state, taking = empty_state(settings), _Taking(settings)
    took: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(_ROUNDS):
            took["bare"].append(_decided(state, codec, "", Batch)[0])
            for name, on, trace in (("off", False, ""), ("unsampled", True, _UNSAMPLED), ("sampled", True, _SAMPLED)):
                tracing.install(_provider() if on else None)
                decided, records = _decided(state, codec, trace, batch_class())
                took[f"command, {name}"].append(decided)
                took[f"event, {name}"].append(await _taken(taking, records))
    finally:
        tracing.install(None)
    of = {name: median(times) for name, times in took.items()}
    off = "traces off"
    return [
        Figure("a command decided, traces off", of["command, off"], "µs", "without a look at it", of["bare"]),
        Figure("a command decided, not sampled", of["command, unsampled"], "µs", off, of["command, off"]),
        Figure("a command decided, sampled", of["command, sampled"], "µs", off, of["command, off"]),
        Figure("an event taken and not folded, not sampled", of["event, unsampled"], "µs", off, of["event, off"]),
        Figure("an event taken and not folded, sampled", of["event, sampled"], "µs", off, of["event, off"]),
    ]


def _decided(
    state: PartitionState, codec: Codec, trace: str, make: type[Batch]
) -> tuple[float, Sequence[DecodedRecord]]:
    """µs for each of some commands, and their events as a projection gets them."""
    requests = [replace(request(order()), traceparent=trace) for _ in range(_COMMANDS)]
    drafts = []
    start = time.process_time()
    for first in range(0, _COMMANDS, _BATCH):
        batch = make(0, state, codec, 1)
        for one in requests[first : first + _BATCH]:
            batch.decide(one)
        batch.commit()
        drafts += batch.drafts
    took = (time.process_time() - start) / _COMMANDS * 1e6
    records: list[DecodedRecord] = []
    for offset, draft in enumerate(drafts):
        raw = DecodedRecord(offset, 0, draft.key, draft.value, draft.headers, None)  # type: ignore[arg-type]
        raw.recorded = read_record(codec, 0, raw)
        records.append(raw)
    return took, records


async def _taken(taking: "_Taking", records: Sequence[DecodedRecord]) -> float:
    start = time.process_time()
    for first in range(0, len(records), _BATCH):
        await taking.apply({0: records[first : first + _BATCH]})
    return (time.process_time() - start) / len(records) * 1e6


class _Taking(Worker):
    """A projection whose fold costs nothing."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, SchemaLookup(lambda _: {}), Metrics(Generation("orders", 1)))

    async def apply_once(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        return {partition: Applied(some[-1].offset + 1, len(some)) for partition, some in records.items()}

    async def positions(self) -> Mapping[int, int]:
        return {}

    async def close(self) -> None:
        return


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _provider() -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    return provider
