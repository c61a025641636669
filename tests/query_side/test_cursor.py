"""Cursors: what is written is read back, and nothing else is taken for one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_side.cursor import Cursor, Sort

times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))


@given(st.sampled_from(Sort), times, st.integers(0, 2**63 - 1), st.uuids())
def test_a_cursor_is_read_back(sort: Sort, time: datetime, total: int, order_id: UUID) -> None:
    value = total if sort.column == "total" else time
    cursor = Cursor.parse(str(Cursor.at(sort, value, order_id)))
    assert (cursor.sort, cursor.value, cursor.order_id) == (sort, value, order_id)


@given(st.one_of(st.text(), st.binary(min_size=26, max_size=26).map(lambda raw: raw.hex()), st.just("_" * 35)))
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="this is no cursor of ours"):
        Cursor.parse(text)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="this is no cursor of ours"):
        Cursor.parse(str(Cursor(Sort.PLACED_AT, 2**62, UUID(int=1))))
