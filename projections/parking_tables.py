"""A batch of a view in tables: what becomes rows, and what is parked because it cannot be read or folded.

A fold is pure, so when a batch as a whole fails, each of its orders is folded alone to find those to blame, and the
rest then in one go. Nothing is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventlog.recorded import Fact, KafkaRecord, TermFilter
from projections.batches import New, Place, after, fresh_records, new_facts, unknown_types
from projections.parking import Failure, ToPark, is_park, require_few
from projections.parking_holds import MOST_HELD, Holds, holds_row
from projections.parking_isolation import read_each_fact
from projections.table_view import Get, TableView, Write
from schemas.codec import Codec
from schemas.events import WriterElected


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch comes to: the rows to write, the records to park before, and as of when the rows are.

    `unknown` counts what was folded of each type that only a newer release knows.
    """

    rows: list[Write]
    parked: list[ToPark]
    new: New
    unknown: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Folding:
    """One partition of a table at rest: its place, what is held in it, and how its rows are read."""

    codec: Codec
    view: TableView
    partition: int
    place: Place
    holds: Holds
    get: Get

    def fold(self, records: Sequence[KafkaRecord], most_parked: int) -> Folded:
        """Fold `records`, consecutive ones; those that fail, and what comes after them of their orders, are parked.

        Raises Hole, TooManyParked when more than `most_parked` orders would be, and what is no event's fault.
        """
        try:
            new = new_facts(self.codec, self.view.handles, self.partition, self.place, records)
            free, held = _apart(new.facts, self.holds)
            rows = self.view.fold(self.partition, self.get, free)
        except Exception as error:
            if not is_park(error):
                raise
            return self._carefully(records, most_parked)
        return Folded(rows, _behind(records, held, {}), new, unknown_types(free))

    def _carefully(self, records: Sequence[KafkaRecord], most_parked: int) -> Folded:
        fresh, terms = fresh_records(self.partition, self.place, records), TermFilter(self.place.term)
        read, unreadable = read_each_fact(self.codec, self.partition, fresh, terms)
        facts = [fact for fact in read if type(fact.event) in self.view.handles]
        firsts: dict[UUID, int] = {}
        for one in unreadable:
            if one.order_id:
                firsts.setdefault(one.order_id, one.record.offset)
        holds = self.holds.hold(firsts, (one.record.offset for one in unreadable if one.order_id is None))
        failures = self._failures(_apart(facts, holds)[0])
        # From the first offset at which it fails on, whether it is there that it cannot be read or be folded.
        holds = Holds({**holds.orders, **{order: failure.offset for order, failure in failures.items()}}, holds.strays)
        if holds != self.holds:
            require_few(self.partition, len(holds), min(most_parked, MOST_HELD))
        free, held = _apart(facts, holds)
        rows = self.view.fold(self.partition, self.get, free)
        if holds != self.holds:
            # Before all else: should the batch be cut off behind it and be read again by one that could fold what
            # failed, the sums that have later events already would not take it any more.
            rows = [holds_row(holds), *rows]
        parked = [*unreadable, *_behind(records, held, failures)]
        new = New(free, after(self.place, fresh, terms), len(fresh), terms.dropped)
        return Folded(rows, parked, new, unknown_types(free))

    def _failures(self, facts: Sequence[Fact]) -> dict[UUID, Failure]:
        orders: dict[UUID, list[Fact]] = {}
        for fact in facts:
            orders.setdefault(order_id_of(fact), []).append(fact)
        found = {order_id: self.first_failure(of_order) for order_id, of_order in orders.items()}
        return {order_id: failure for order_id, failure in found.items() if failure}

    def first_failure(self, facts: Sequence[Fact], *, late: bool = False) -> Failure | None:
        """The first of one order's `facts` that cannot be folded, None when all can be."""
        error = self._error(facts, late=late)
        if error is None:
            return None
        good, bad = 0, len(facts)  # so many can be folded, and so many cannot
        while bad - good > 1:
            middle = (good + bad) // 2
            found = self._error(facts[:middle], late=late)
            good, bad, error = (middle, bad, error) if found is None else (good, middle, found)
        return Failure(facts[bad - 1].offset, error)

    def _error(self, facts: Sequence[Fact], *, late: bool) -> Exception | None:
        try:
            self.view.fold(self.partition, self.get, facts, late=late)
        except Exception as error:
            if not is_park(error):
                raise
            return error
        return None


def order_id_of(fact: Fact) -> UUID:
    """The order of an event that is no barrier."""
    assert not isinstance(fact.event, WriterElected)
    return fact.event.order_id


def _apart(facts: Sequence[Fact], holds: Holds) -> tuple[Sequence[Fact], list[Fact]]:
    """The facts that can be folded, and those that wait, be they parked already."""
    if not holds:
        return facts, []
    free: list[Fact] = []
    held: list[Fact] = []
    for fact in facts:
        since = holds.orders.get(order_id_of(fact))
        waits = (since is not None and fact.offset >= since) or fact.offset in holds.strays
        (held if waits else free).append(fact)
    return free, held


def _behind(records: Sequence[KafkaRecord], held: Sequence[Fact], failures: Mapping[UUID, Failure]) -> list[ToPark]:
    """The records of the facts `held`, each with its failure if it is the one that failed."""
    parked = []
    for fact in held:
        order_id = order_id_of(fact)
        failure = failures.get(order_id)
        record = records[fact.offset - records[-1].offset - 1]  # the new ones, at the end, are dense
        parked.append(ToPark(record, order_id, failure if failure and failure.offset == fact.offset else None))
    return parked
