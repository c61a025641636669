"""What the customer reads: one mail per event, as text and as HTML. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

# ISO 4217: currencies whose minor unit is not a hundredth.
_WITHOUT_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_IN_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_DIGITS = dict.fromkeys(_WITHOUT_MINOR_UNIT.split(), 0) | dict.fromkeys(_IN_THOUSANDTHS.split(), 3)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_TEMPLATES = Environment(
    loader=PackageLoader("subscribers.email"),
    autoescape=select_autoescape(["html.j2"], default=False),
    undefined=StrictUndefined,
)


class Kind(StrEnum):
    """The occasions for a mail."""

    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


_NEWS = {
    Kind.CONFIRMED: "Your order is confirmed. We are getting it ready.",
    Kind.SHIPPED: "Your order is on its way with {carrier}. Tracking number: {tracking}",
    Kind.CANCELLED: "Your order is cancelled. Nothing will be sent.",
    Kind.REJECTED: "We are sorry: we cannot deliver your order.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a mail tells: `total` is in minor units of `currency`, `carrier` and `tracking` are of a shipped order."""

    event_id: str
    order_id: str
    at: datetime
    email: str
    name: str
    currency: str
    total: int
    carrier: str = ""
    tracking: str = ""


def letter(kind: Kind, facts: Facts, sender: str) -> EmailMessage:
    """The mail, with a Message-ID that is the event's. Raises ValueError when the address cannot be written to."""
    user, _, domain = _line(facts.email).rpartition("@")
    name = _line(facts.name)
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = Address(name, user, domain)
    mail["Subject"] = f"Your order {facts.order_id} is {kind}"
    mail["Date"] = format_datetime(facts.at)
    mail["Message-ID"] = f"<{facts.event_id}@orderlog.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    shown = {
        "name": name,
        "news": _NEWS[kind].format(carrier=_line(facts.carrier), tracking=_line(facts.tracking)),
        "order_id": facts.order_id,
        "amount": amount(facts.total, facts.currency),
    }
    mail.set_content(_TEMPLATES.get_template("letter.txt.j2").render(shown))
    mail.add_alternative(_TEMPLATES.get_template("letter.html.j2").render(shown), subtype="html")
    return mail


def amount(minor: int, currency: str) -> str:
    """An amount in minor units as people write it, by ISO 4217: 123456 EUR is "1,234.56 EUR"."""
    digits = _DIGITS.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**digits)
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{'-' if minor < 0 else ''}{whole:,}{fraction} {currency}"


def _line(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip()
