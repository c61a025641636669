"""The page of the topics."""

from pathlib import Path

import pytest

from schemas import catalogue_page
from schemas.catalogue_page import MAKES_PAGE, cells, in_words, markdown
from schemas.topics import CATALOGUE, ORDER_EVENTS, ORDER_PLACED, WRITER_OWNERS

PAGE = Path(__file__).parents[2] / "docs/reference/topics.md"


def test_the_committed_page_is_the_catalogue() -> None:
    assert PAGE.read_text() == markdown(), f"the catalogue, a schema or a header changed; run: {MAKES_PAGE}"


def test_every_topic_and_every_field_of_a_public_event_is_on_it() -> None:
    page = markdown()
    for topic in CATALOGUE:
        assert f"\n## {topic.name}\n\n{topic.reason}" in page
    assert "| lines.unit_price | long | Minor units of the currency, for one piece. |" in page
    assert "Of public events:" in page


def test_a_row() -> None:
    assert catalogue_page.HEADINGS[5] == "kept"
    assert cells(ORDER_EVENTS)[5:7] == ("for ever", "ORDERLOG_PARTITIONS")
    assert cells(ORDER_EVENTS, partitions=12)[6] == "12"
    assert cells(WRITER_OWNERS)[4:6] == ("WriterElected", "the last of each key")
    assert cells(ORDER_PLACED)[2:6] == ("event-carried state transfer", "order id", "OrderPlaced", "30 days")


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(-1, "for ever"), (86_400_000, "1 day"), (7_200_000, "2 hours"), (90_000, "90 seconds"), (1_500, "1500 ms")],
)
def test_durations(milliseconds: int, words: str) -> None:
    assert in_words(milliseconds) == words
