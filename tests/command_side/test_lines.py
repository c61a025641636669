"""Lines out of pieces: however a body is cut, the lines are the same."""

from hypothesis import given
from hypothesis import strategies as st

from command_side.api.lines import Lines

MOST = 8


def cut(body: bytes, at: list[int]) -> list[tuple[int, bytes | None]]:
    lines, found, start = Lines(MOST), list[tuple[int, bytes | None]](), 0
    for end in [*sorted(at), len(body)]:
        found += lines.feed(body[start:end])
        start = max(start, end)
    return found + list(lines.end())


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\x01", b"\n")), st.lists(st.integers(0, 60), max_size=6))
def test_pieces_make_no_difference(body: bytes, at: list[int]) -> None:
    numbered = enumerate(body.split(b"\n"), start=1)
    expected = [(n, line if len(line) <= MOST else None) for n, line in numbered if len(line) > MOST or line.strip()]
    assert cut(body, at) == expected


def test_a_line_that_is_too_long_is_not_kept() -> None:
    lines = Lines(MOST)
    for _ in range(1000):
        assert list(lines.feed(b"x" * 100)) == []
    assert len(lines._rest) <= MOST
    assert list(lines.feed(b"\nnext\n")) == [(1, None), (2, b"next")]
