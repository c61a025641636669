"""The bodies of the command API. Their limits are the domain's (command_side/domain/limits.py)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from command_side.domain import limits
from schemas.events import SKU_PATTERN, Address, Line, ReturnedLine

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc


def _printable(text: str) -> str:
    if text.isprintable() and text.strip():  # nearly always; the rest is looked at more closely
        return text
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


# RFC 3339, 5.6: pydantic alone would also take numbers of seconds and times without an offset.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(minutes=5)


def _rfc_3339(given: Any) -> Any:
    if not isinstance(given, str) or not _RFC_3339.fullmatch(given):
        raise ValueError("write a date, a time and its offset, for example 2024-05-01T09:30:00+02:00")
    return given


def _in_the_past(time: datetime) -> datetime:
    """The time in UTC, so that one instant is one value however its offset was written."""
    if time < _EARLIEST:
        raise ValueError("must not be before the year 2000")
    if time > datetime.now(UTC) + _CLOCK_SKEW:
        raise ValueError("must not be in the future")
    return time.astimezone(UTC)


Printable = AfterValidator(_printable)
Name = Annotated[str, Field(min_length=1, max_length=limits.MAX_NAME), Printable]
Reference = Annotated[str, Field(min_length=1, max_length=limits.MAX_REFERENCE), Printable]
ReasonText = Annotated[str, Field(min_length=1, max_length=limits.MAX_REASON, examples=["changed my mind"]), Printable]
Sku = Annotated[str, Field(pattern=SKU_PATTERN, examples=["TEA-EARL-GREY-100"])]
Quantity = Annotated[int, Field(strict=True, ge=1, le=limits.MAX_QUANTITY, examples=[2])]
UnitPrice = Annotated[
    int, Field(strict=True, ge=0, le=limits.MAX_UNIT_PRICE, examples=[499], description="minor units of the currency")
]
Amount = Annotated[
    int, Field(strict=True, ge=1, le=limits.MAX_AMOUNT, examples=[998], description="minor units of the currency")
]
PlacedAt = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_the_past),
    Field(
        examples=["2024-05-01T09:30:00+02:00"],
        description="when the order was placed, RFC 3339, for one that is recorded later; now when it is left out",
    ),
]


class Body(BaseModel):
    """Unknown fields are errors: a misspelt one must not be dropped in silence."""

    model_config = ConfigDict(extra="forbid")


class LineBody(Body):
    """One line of an order."""

    sku: Sku
    quantity: Quantity
    unit_price: UnitPrice

    def to_line(self) -> Line:
        """The line as the domain knows it."""
        return Line(self.sku, self.quantity, self.unit_price)


class AddressBody(Body):
    """Where an order is shipped to."""

    name: Annotated[Name, Field(examples=["Ada Lovelace"])]
    street: Annotated[Name, Field(examples=["12 St James's Square"])]
    city: Annotated[Name, Field(examples=["London"])]
    postal_code: Annotated[Name, Field(examples=["SW1Y 4JH"])]
    country: Annotated[str, Field(pattern=limits.COUNTRY_PATTERN, examples=["GB"], description="ISO 3166-1 alpha-2")]

    def to_address(self) -> Address:
        """The address as the domain knows it."""
        return Address(self.name, self.street, self.city, self.postal_code, self.country)


class PlaceOrderBody(Body):
    """A new order. `order_id` is made up when it is left out."""

    order_id: UUID | None = None
    customer_id: Annotated[Reference, Field(examples=["customer-42"])]
    email: Annotated[
        str, Field(max_length=limits.MAX_EMAIL, pattern=limits.EMAIL_PATTERN, examples=["ada@example.com"])
    ]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["EUR"], description="ISO 4217")]
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=limits.MAX_LINES)]
    shipping_address: AddressBody
    placed_at: PlacedAt | None = None


class QuantityBody(Body):
    """The new quantity of a line."""

    quantity: Quantity


class ReasonBody(Body):
    """Why, in a person's words."""

    reason: ReasonText


class PaymentBody(Body):
    """A payment that was received."""

    amount: Amount
    reference: Annotated[Reference, Field(examples=["pay_3f9c"])]
    method: Annotated[
        Annotated[str, Field(pattern=limits.METHOD_PATTERN)] | None,
        Field(examples=["card"], description="what it was paid with, such as card, invoice or transfer"),
    ] = None


class ShipmentBody(Body):
    """A shipment that was handed to a carrier: one parcel as `tracking`, or one and more as `parcels`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["tracking"]}, {"required": ["parcels"]}],
            "examples": [
                {"carrier": "DHL", "tracking": "JD0146000034"},
                {"carrier": "DHL", "parcels": ["JD01", "JD02"]},
            ],
        }
    )

    carrier: Reference
    tracking: Annotated[Reference | None, Field(description="the carrier's number of the parcel")] = None
    parcels: Annotated[
        Annotated[list[Reference], Field(min_length=1, max_length=limits.MAX_PARCELS)] | None,
        Field(description="the carrier's number of each parcel"),
    ] = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.tracking is None) == (self.parcels is None):
            raise ValueError("give tracking for one parcel, or parcels for one and more, and not both")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """The tracking numbers, the first parcel's first."""
        return (self.tracking,) if self.tracking is not None else tuple(self.parcels or ())


class ReturnedLineBody(Body):
    """Pieces of one line that come back."""

    sku: Sku
    quantity: Quantity

    def to_line(self) -> ReturnedLine:
        """The returned line as the domain knows it."""
        return ReturnedLine(self.sku, self.quantity)


class ReturnBody(Body):
    """Pieces of a delivered order that come back."""

    lines: Annotated[list[ReturnedLineBody], Field(min_length=1, max_length=limits.MAX_LINES)]
    reason: ReasonText


class Answer(BaseModel):
    """A command that was accepted: its events are in the log."""

    order_id: UUID
    version: int = Field(examples=[1], description="the order's version after the command; also the ETag")
    position: str = Field(examples=["3:1207"], description="partition:offset of the last event; also Orderlog-Position")
