"""The letters: what a customer reads, and that no name or address gets further than its place in them."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from subscribers.email.letters import Facts, Kind, amount, letter

SENDER = "orderlog <orders@example.com>"
HOSTILE = [
    "<script>alert(1)</script>",
    "Eve\r\nBcc: all@example.com",
    '"Eve" <x@y>, z@example.com',
    "Zoë\u2028B\x00",
    "\ud800",
    "",
]


def facts(name: str = "Ann", email: str = "ann@example.com") -> Facts:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return Facts("e1", "o1", at, email, name, "EUR", 123456, "DHL", "T<1>")


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_adds_neither_header_nor_recipient_nor_markup(kind: Kind, name: str) -> None:
    mail = message_from_bytes(letter(kind, facts(name), SENDER).as_bytes(policy=policy.SMTP), policy=policy.default)
    assert mail["Bcc"] is None
    assert [address.addr_spec for address in mail["To"].addresses] == ["ann@example.com"]
    assert mail["Message-ID"] == "<e1@orderlog.invalid>"
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "<script" not in html.get_content()
    assert "<1>" not in html.get_content()
    assert "1,234.56 EUR" in text.get_content()


@pytest.mark.parametrize(
    ("minor", "currency", "shown"), [(5, "EUR", "0.05 EUR"), (1234, "JPY", "1,234 JPY"), (1, "KWD", "0.001 KWD")]
)
def test_an_amount_has_its_currencys_digits(minor: int, currency: str, shown: str) -> None:
    assert amount(minor, currency) == shown
