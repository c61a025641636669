"""`orderlog verify`: the views that can be verified, and how it is put together."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from eventlog.identity import read_identity
from eventlog.reader import log_ends
from eventlog.settings import Settings
from projections.catalogue import refuse_published
from projections.verifying.log_events import Decoder
from projections.verifying.orders import verifying_orders
from projections.verifying.report import Report, Source, Verification
from projections.verifying.sales import verifying_sales
from schemas.errors import BadInput
from schemas.registry import Registry
from schemas.topics import ORDER_EVENTS

# A view that is added to projections/catalogue.py and can be verified is a line here.
VERIFIED: Mapping[str, Callable[[Source], AbstractAsyncContextManager[Verification]]] = {
    "orders": verifying_orders,
    "sales": verifying_sales,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many records of the log were folded for `view`, and how many there are up to its positions."""

    view: str
    done: int
    total: int


def views_named(name: str | None) -> Sequence[str]:
    """The view called `name`, or all. Raises BadInput."""
    refuse_published(name)
    if name is not None and name not in VERIFIED:
        raise BadInput(f"there is no view {name!r} that can be verified; there is: {', '.join(VERIFIED)}")
    return list(VERIFIED) if name is None else [name]


async def verify(settings: Settings, view: str, tell: Callable[[Progress], None]) -> AsyncIterator[Report]:
    """Hold the live generation of `view` against the log, partition by partition; `tell` is told how far it is.

    Reads only. Raises NotMade, NeedsRebuild, WrongLog, NotServed, Unreadable, KafkaError, RegistryUnavailable,
    psycopg.OperationalError.
    """
    topic = settings.topic(ORDER_EVENTS.name)
    with Registry(settings.registry_url) as registry:
        identity = await read_identity(settings.kafka_bootstrap, topic)
        partitions = await log_ends(settings.kafka_bootstrap, topic)
        source = Source(settings, topic, identity, Decoder(registry.schema))
        async with VERIFIED[view](source) as verification:
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                tell(Progress(view, done, max(total, done)))

            total = sum(verification.positions.values())
            for partition in sorted(partitions):
                yield await verification.partition(partition, advance)
