"""docs/how-to/change-an-event.md says what the files say."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/change-an-event.md").read_text()


def test_every_piece_of_code_is_in_a_file_that_the_page_names() -> None:
    named = [ROOT / name for name in re.findall(r"`((?:schemas|projections|command_side)/[\w/.]+)`", PAGE)]
    sources = [file.read_text() for file in named if file.suffix == ".py"]
    fields = [field for file in named if file.suffix == ".avsc" for field in json.loads(file.read_text())["fields"]]
    pieces = re.findall(r"```(json|python)\n(.*?)```", PAGE, flags=re.S)
    assert len(pieces) >= 5
    for language, piece in pieces:
        if language == "json":
            assert json.loads(piece) in fields
        else:
            assert any(piece in source for source in sources), piece


def test_the_sum_it_shows_is_the_one_in_the_list() -> None:
    (line,) = [
        line for line in (ROOT / "schemas/avro/SHA256SUMS").read_text().splitlines() if "PaymentRecorded.v2" in line
    ]
    assert f"add the line: {line[:8]}…" in PAGE
