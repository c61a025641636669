"""ORDERLOG_MAIL_FROM: what is no sender is refused at the start, not with each mail."""

from email.message import EmailMessage

import pytest
from pydantic import ValidationError

from eventlog.settings import Settings


@pytest.mark.parametrize("given", ["a@b", "<a@b.c>", "Tea Shop <a@b.c>", "Bücher & Tee <a@b.c>", '"Tea" <a@b.c>'])
def test_an_address_with_or_without_a_name_is_a_sender(given: str) -> None:
    mail = EmailMessage()
    mail["From"] = Settings(_env_file=None, mail_from=given).mail_from
    (address,) = mail["From"].addresses
    assert address.addr_spec in ("a@b", "a@b.c")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nobody",
        "a@b, c@d",
        "a,b@c.d",
        "x <a@b> y",
        "a@b\r\nBcc: x@y",
        "Ä@b.c",
        "Tea, Shop <a@b.c>",
        "a b@c.d",
        "<a@b@c>",
    ],
)
def test_anything_else_is_refused_with_how_to_write_it(given: str) -> None:
    with pytest.raises(ValidationError, match="write an address"):
        Settings(_env_file=None, mail_from=given)
