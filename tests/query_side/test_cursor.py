"""Cursors: what is written is read back, and nothing else is taken for one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_side.cursor import Cursor


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)), st.uuids())
def test_a_cursor_is_read_back(placed_at: datetime, order_id: UUID) -> None:
    cursor = Cursor(placed_at, order_id)
    assert Cursor.parse(str(cursor)) == cursor


@given(st.one_of(st.text(), st.binary(min_size=25, max_size=25).map(lambda raw: raw.hex()), st.just("_" * 34)))
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="this is no cursor of ours"):
        Cursor.parse(text)
