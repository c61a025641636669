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
    return Facts("order.events:1:7", "o1", at, email, name, "EUR", 123456, "DHL", "T<1>")


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_adds_neither_header_nor_recipient_nor_markup(kind: Kind, name: str) -> None:
    mail = message_from_bytes(letter(kind, facts(name), SENDER).as_bytes(policy=policy.SMTP), policy=policy.default)
    assert mail["Bcc"] is None
    assert [address.addr_spec for address in mail["To"].addresses] == ["ann@example.com"]
    assert mail["Message-ID"] == "<order.events%3A1%3A7.o1@example.com>"
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "<script" not in html.get_content()
    assert "<1>" not in html.get_content()
    assert "1,234.56 EUR" in text.get_content()


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ann+shop@mail.example.com", "ann+shop@mail.example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("jörg@example.com", "jörg@example.com"),
    ],
)
def test_an_address_in_another_script_has_a_domain_that_any_server_takes(email: str, shown: str) -> None:
    content = letter(Kind.SHIPPED, facts(email=email), SENDER).as_bytes(policy=policy.SMTPUTF8)
    mail = message_from_bytes(content, policy=policy.default)
    assert mail["To"] == f"Ann <{shown}>"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "a@",
        "@b",
        "a b@c.de",
        "a@b@c.de",
        "<a@b>",
        "a@b, c@d",
        "a@b\r\nBcc: c@d",
        "a\0@b.c",
        "a@b..c",
        "a@(b)",
    ],
)
def test_an_address_that_nobody_can_write_to_is_refused_and_not_told(email: str) -> None:
    with pytest.raises(ValueError, match="customer's address") as refused:
        letter(Kind.SHIPPED, facts(email=email), SENDER)
    assert not email or email not in str(refused.value)


@pytest.mark.parametrize(
    ("minor", "currency", "shown"), [(5, "EUR", "0.05 EUR"), (1234, "JPY", "1,234 JPY"), (1, "KWD", "0.001 KWD")]
)
def test_an_amount_has_its_currencys_digits(minor: int, currency: str, shown: str) -> None:
    assert amount(minor, currency) == shown
