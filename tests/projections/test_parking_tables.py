"""Parking in a table without Kafka: damaged records anywhere, batches cut off at any row, and brought back late."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from uuid import UUID, uuid4

import pytest

from eventlog.recorded import from_headers, read_fact, read_record
from projections.batches import Place
from projections.failures import TableUnreadable
from projections.fenced_table import PLACE_KEY, place_row, read_place
from projections.parking_holds import HELD_KEY, NOTHING, Holds, holds_row, read_holds
from projections.parking_tables import Folded, Folding
from projections.sales.view import KINDS, SalesView
from service.verdicts import TooManyParked
from tests.kit.codec import local_codec
from tests.projections.parking_world import interleaved, keyed, nonsense, order_of, with_header
from tests.projections.records import Record, records
from tests.projections.sales_refold import Sums, sales_of

CODEC, VIEW = local_codec(), SalesView()


@dataclass
class Partition:
    """A partition of the table in memory, and the records parked of it as Postgres would have them."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    parked: dict[int, Record] = field(default_factory=dict)

    @property
    def folding(self) -> Folding:
        return Folding(CODEC, VIEW, 0, self.place, self.holds, lambda keys: [self.rows.get(key) for key in keys])

    @property
    def place(self) -> Place:
        return read_place(self.rows[PLACE_KEY]) if PLACE_KEY in self.rows else Place()

    @property
    def holds(self) -> Holds:
        return read_holds(self.rows[HELD_KEY]) if HELD_KEY in self.rows else NOTHING

    def fold(self, batch: Sequence[Record], most: int = 1_000) -> Folded:
        return self.folding.fold(batch, most)

    def take(self, batch: Sequence[Record], rows: int | None = None) -> None:
        """Apply `batch`, but only the first `rows` rows of it get written."""
        folded = self.fold(batch)
        self.parked |= {one.record.offset: batch[one.record.offset - batch[0].offset] for one in folded.parked}
        after = folded.new.after
        self.rows |= dict([*folded.rows, place_row(after.next_offset - 1, after)][:rows])

    def redrive(self, log: Sequence[Record]) -> None:
        """Bring back what is held, from `log`, each as far as it goes, again and again while something does."""
        before = None
        while self.holds not in (NOTHING, before):
            before = self.holds
            for offset in sorted(self.holds.strays):
                self._late([log[offset]], partial(self._of_stray, offset))
            for order_id, since in list(self.holds.orders.items()):
                waiting = [log[at] for at in sorted(self.parked) if at >= since and order_of(log[at]) == str(order_id)]
                own = [one for one in waiting if one.offset not in before.strays]
                self._late(own, partial(self.holds.go_on, order_id))

    def _late(self, waiting: Sequence[Record], holds: Callable[[int | None], Holds]) -> None:
        facts = [read_fact(CODEC, one) for one in waiting]
        failure = self.folding.first_failure(facts, late=True)
        since = failure.offset if failure else None
        good = [fact for fact in facts if since is None or fact.offset < since]
        self.rows |= dict([*VIEW.fold(0, self.folding.get, good, late=True), holds_row(holds(since))])

    def _of_stray(self, offset: int, since: int | None) -> Holds:
        return self.holds.let_go(offset) if since is None else self.holds

    def sums(self) -> Sums:
        found: Sums = {}
        for kind in KINDS:
            first, end = VIEW.bounds({"kind": kind})
            rows = [(key, self.rows[key]) for key in sorted(self.rows) if first <= key < end]
            found[kind] = {key: sums for key, sums in VIEW.read(rows, {"kind": kind}) if any(sums)}
        return found


def log_of(random: Random, orders: int = 30) -> list[Record]:
    return keyed(records(CODEC, interleaved(random, orders)))


def damaged(random: Random, log: Sequence[Record], few: int = 6) -> list[Record]:
    """`log` with some records that cannot be read, name no order, or do not follow."""
    broken = list(log)
    for at in random.sample(range(len(log)), few):
        match random.randint(0, 3):
            case 0:
                broken[at] = nonsense(log[at])
            case 1:
                broken[at] = replace(nonsense(log[at]), key=None)
            case 2:
                broken[at] = with_header(log[at], "ce_time", None)
            case _:
                broken[at] = with_header(log[at], "version", b"77")
    return broken


def without(log: Sequence[Record], broken: Sequence[Record]) -> Sums:
    """The sums of `log` without each order's events from its first broken one on."""
    gone: set[str] = set()
    kept = []
    for one, as_read in zip(log, broken, strict=True):
        if one is not as_read:
            gone.add(order_of(one))
        if order_of(one) not in gone:
            kept.append(read_record(CODEC, 0, one))
    return sales_of(kept)


def whole(log: Sequence[Record]) -> Sums:
    return sales_of([read_record(CODEC, 0, one) for one in log])


def batches(random: Random, log: Sequence[Record], done: int = 0) -> Iterator[list[Record]]:
    while done < len(log):
        size = random.randint(1, 40)
        yield list(log[done : done + size])
        done += size


@pytest.mark.parametrize("seed", range(8))
def test_damaged_orders_wait_from_the_damaged_event_on_and_all_come_back_late(seed: int) -> None:
    random = Random(seed)
    log, partition = log_of(random), Partition()
    broken = damaged(random, log)
    for batch in batches(random, broken):
        partition.take(batch)
    assert partition.sums() == without(log, broken)
    later = log_of(random, 5)
    later = [replace(one, offset=len(log) + at) for at, one in enumerate(later)]
    for batch in batches(random, later):
        partition.take(batch)
    partition.redrive([*log, *later])
    assert partition.holds == NOTHING
    assert partition.sums() == whole([*log, *later])


@pytest.mark.parametrize("mended", [True, False], ids=["mended meanwhile", "as before"])
@pytest.mark.parametrize("seed", range(6))
def test_cut_off_at_any_row_each_event_counts_once(seed: int, mended: bool) -> None:
    """A crash leaves a first part of a batch's rows; the next process may be able to read what this one was not."""
    random = Random(seed)
    log = log_of(random, 12)
    broken = damaged(random, log, few=3)
    middle = random.randint(0, len(log) // 2)
    before = Partition()
    for batch in batches(random, broken[:middle]):
        before.take(batch)
    batch = broken[middle : middle + 30]
    for cut in range(len(before.fold(batch).rows) + 2):
        partition = Partition(dict(before.rows), dict(before.parked))
        partition.take(batch, cut)
        rest = log[middle:] if mended else broken[middle:]
        for again in batches(random, rest):
            partition.take([one for one in again if one.offset >= partition.place.next_offset] or again)
        if not mended:
            assert partition.sums() == without(log, broken), f"cut off after {cut} rows"
        partition.redrive(log)
        assert partition.sums() == whole(log), f"cut off after {cut} rows"


def test_a_redelivered_batch_parks_the_same_and_later_events_wait_behind() -> None:
    log, partition = log_of(Random(1), 3), Partition()
    batch = [nonsense(log[0]), *log[1:]]
    first = partition.fold(batch)
    assert {one.record.offset: bool(one.failure) for one in first.parked} == {
        one.offset: one.offset == 0 for one in log if order_of(one) == order_of(log[0])
    }
    partition.take(batch)
    assert partition.fold(batch).parked == []
    assert partition.holds == Holds({UUID(order_of(log[0])): 0})
    late = with_header(replace(log[0], offset=len(log)), "version", b"5")
    (behind,) = partition.fold([late]).parked
    assert (behind.failure, behind.order_id) == (None, UUID(order_of(log[0])))
    assert HELD_KEY not in dict(partition.fold([late]).rows), "nothing new is held"


def test_too_many_orders_stop_it() -> None:
    log, partition = log_of(Random(2), 10), Partition()
    broken = [nonsense(one) for one in log]
    with pytest.raises(TooManyParked, match="more than 3 orders would be parked"):
        partition.fold(broken, 3)
    partition.fold(broken, 10)


def test_a_table_that_cannot_be_read_is_no_events_fault() -> None:
    def broken(keys: list[bytes]) -> list[bytes | None]:
        raise TableUnreadable("disk")

    with pytest.raises(TableUnreadable):
        Folding(CODEC, VIEW, 0, Place(), NOTHING, broken).fold(log_of(Random(4), 2), 1_000)


def test_a_deposed_writers_nonsense_is_dropped_and_not_parked() -> None:
    log, partition = log_of(Random(3), 2), Partition()
    partition.rows |= dict([place_row(-1, Place(0, term=5))])
    stale = [replace(nonsense(one), headers=one.headers) for one in log]
    assert from_headers(log[0].headers).term == 1
    folded = partition.fold(stale)
    assert (folded.parked, folded.new.deposed) == ([], len(log))


def test_what_is_held_can_be_read_back() -> None:
    holds = Holds({uuid4(): 7, uuid4(): 2**40}, frozenset({3, 9}))
    key, value = holds_row(holds)
    assert (key, read_holds(value), len(holds)) == (HELD_KEY, holds, 4)
