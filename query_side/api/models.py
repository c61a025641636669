"""What the query API takes and answers."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, PlainSerializer, ValidationInfo, field_validator

from query_side.api.direct import Parameters
from query_side.cursor import Cursor, Sort
from query_side.listing import Filters

MAX_VERSION = 2**31 - 1

Status = Literal["open", "confirmed", "rejected", "paid", "shipped", "delivered", "cancelled", "returned"]


def rfc3339(time: datetime) -> str:
    """A time as answers write it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def printable(text: str) -> str:
    """`text`, which may be anything but control characters. Raises ValueError."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(printable)]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    Field(examples=["2026-03-01T09:30:00.000000Z"], json_schema_extra={"format": "date-time"}),
]
Money = Annotated[int, Field(description="minor units of the order's currency", examples=[998])]
_ORDER_ID = "0b5f1c9e-8f0a-4a63-9a0e-5d7b3c1f2a44"


class LineBody(BaseModel):
    """One line of an order; `returned` pieces of it came back."""

    sku: str = Field(examples=["TEA-EARL-GREY-100"])
    quantity: int = Field(examples=[2])
    unit_price: Annotated[int, Field(description="minor units of the order's currency", examples=[499])]
    returned: int = Field(examples=[0])


class AddressBody(BaseModel):
    """Where an order is shipped to."""

    name: str = Field(examples=["Ada Lovelace"])
    street: str = Field(examples=["12 St James's Square"])
    city: str = Field(examples=["London"])
    postal_code: str = Field(examples=["SW1Y 4JH"])
    country: str = Field(examples=["GB"], description="ISO 3166-1 alpha-2")


class OrderBody(BaseModel):
    """An order as it is at the answer's Orderlog-Position. Personal data is null once it was erased."""

    order_id: UUID = Field(examples=[_ORDER_ID])
    customer_id: str = Field(examples=["customer-42"])
    email: str | None = Field(examples=["ada@example.com"])
    status: Status = Field(examples=["paid"])
    currency: str = Field(examples=["EUR"], description="ISO 4217")
    total: Money
    paid: Money
    refunded: Annotated[int, Field(description="minor units of the order's currency", examples=[0])]
    lines: list[LineBody]
    shipping_address: AddressBody | None
    reason: str | None = Field(examples=[None], description="why it was rejected, cancelled or returned")
    carrier: str | None = Field(examples=[None])
    tracking: str | None = Field(examples=[None])
    version: int = Field(examples=[3], description="number of the order's events; also its ETag")
    placed_at: Time
    updated_at: Time


class TotalBody(BaseModel):
    """How many orders there are on all pages: counted, or, when they are many, as Postgres estimates it."""

    count: int = Field(examples=[128])
    exact: bool = Field(examples=[True])


class OrdersBody(BaseModel):
    """A page of orders; `next_cursor` is null on the last page."""

    orders: list[OrderBody]
    total: TotalBody
    next_cursor: str | None = Field(examples=["AgEABkx1c2VkAAtfHJ6PCkpjmg5dezwfKkQ"])


class EventBody(BaseModel):
    """An event of an order. `data` are its fields, with personal data as long as that was not erased."""

    version: int = Field(examples=[1], description="of the order, by this event")
    type: str = Field(examples=["OrderPlaced"])
    time: Time = Field(description="when it happened")
    recorded_at: Time = Field(description="when the log took it")
    position: str = Field(examples=["3:1207"], description="partition:offset of its record in the log")
    command_id: str = Field(description="of the command that caused it: its Idempotency-Key, if it had one")
    correlation_id: str
    data: dict[str, Any] = Field(examples=[{"total": 998}])


class EventsBody(BaseModel):
    """A page of an order's events, the first first; `next_after` is null on the last page."""

    order_id: UUID = Field(examples=[_ORDER_ID])
    version: int = Field(examples=[3], description="number of all events of the order")
    events: list[EventBody]
    next_after: int | None = Field(examples=[None], description="`after` of the next page")


class CurrencyTotals(BaseModel):
    """What a customer ordered in one currency; amounts in its minor units."""

    currency: str = Field(examples=["EUR"], description="ISO 4217")
    orders: int = Field(examples=[3])
    paid: int = Field(examples=[5998])
    refunded: int = Field(examples=[998])
    revenue: int = Field(examples=[5000], description="paid less refunded")
    returned_pieces: int = Field(examples=[2])
    returned_amount: int = Field(examples=[998], description="what came back, at the prices it was sold for")
    last_order_at: Time


class CustomerBody(BaseModel):
    """A customer's orders in numbers, per currency."""

    customer_id: str = Field(examples=["customer-42"])
    orders: int = Field(examples=[3])
    returned_pieces: int = Field(examples=[2])
    last_order_at: Time
    totals: list[CurrencyTotals]


class OrderParameters(Parameters):
    """Which state of the order: as it is now, after its `version`th event, or as it was at a time."""

    version: int | None = Field(None, ge=1, le=MAX_VERSION, description="the state after this many events")
    as_of: AwareDatetime | None = Field(None, description="the state at this time; RFC 3339 with an offset")

    @field_validator("as_of")
    @classmethod
    def _one_of_them(cls, as_of: datetime | None, others: ValidationInfo) -> datetime | None:
        if as_of is not None and others.data.get("version") is not None:
            raise ValueError("give version or as_of, not both")
        return as_of


class EventsParameters(Parameters):
    """Which page of an order's events."""

    after: int = Field(0, ge=0, le=MAX_VERSION, description="events with a greater version than this")
    limit: int = Field(100, ge=1, le=500, description="events on a page")


class ChangesParameters(Parameters):
    """Where a stream of changes begins when the request has no Last-Event-ID."""

    after: int = Field(0, ge=0, le=MAX_VERSION, description="events with a greater version than this")


class OrdersParameters(Parameters):
    """Which orders to list. Those that are not given do not narrow the list."""

    status: list[Status] = Field([], max_length=8, description="any of these; may be given several times")
    customer_id: Text | None = None
    sku: Text | None = Field(None, description="with a line of this sku")
    placed_after: AwareDatetime | None = Field(None, description="placed then or later; RFC 3339 with an offset")
    placed_before: AwareDatetime | None = Field(None, description="placed earlier than that")
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="ISO 4217")
    min_total: int | None = Field(None, ge=0, le=2**63 - 1, description="minor units of `currency`, which it needs")
    q: Annotated[Text, Field(min_length=2)] | None = Field(
        None,
        description="words of the address, or of one payment reference or tracking number; the last may be begun",
    )
    sort: Sort = Field(Sort.LAST_PLACED, description="- puts the greatest first; by total it needs `currency`")
    cursor: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="next_cursor of the page before; holds for its sort only"
    )
    limit: int = Field(50, ge=1, le=200, description="orders on a page")

    @field_validator("min_total", "sort")
    @classmethod
    def _comparable(cls, value: int | Sort | None, others: ValidationInfo) -> int | Sort | None:
        compares = value.column == "total" if isinstance(value, Sort) else value is not None
        if compares and others.data.get("currency") is None:
            raise ValueError("totals are compared in one currency only: give currency, too")
        return value

    @field_validator("cursor")
    @classmethod
    def _of_this_list(cls, cursor: str | None, others: ValidationInfo) -> str | None:
        sort = others.data.get("sort")
        if cursor and sort and (of := Cursor.parse(cursor).sort) != sort:
            raise ValueError(f"the cursor is of a list sorted by {of}: begin anew to sort by {sort}")
        return cursor

    @property
    def after(self) -> Cursor | None:
        """Where the page begins."""
        return Cursor.parse(self.cursor) if self.cursor else None

    def filters(self, words: Sequence[str]) -> Filters:
        """The parameters as the query takes them; `words` are those of `q`."""
        return Filters(
            customer_id=self.customer_id,
            statuses=self.status,
            sku=self.sku,
            placed_from=self.placed_after,
            placed_before=self.placed_before,
            currency=self.currency,
            min_total=self.min_total,
            words=words,
        )


class PartitionPosition(BaseModel):
    """`position` is the last offset that the view reflects, -1 for none; `end` is where the log will go on."""

    partition: int = Field(examples=[0])
    position: int = Field(examples=[123])
    end: int = Field(examples=[130])
    lag: int = Field(examples=[6], description="events that are in the log and not in the view yet")


class RebuildPosition(BaseModel):
    """How far the next generation of a projection is, as its builder saw it last."""

    generation: int = Field(examples=[2])
    phase: str = Field(examples=["events"], description="events, indexes, swap or hand-over")
    done: int = Field(examples=[420_000], description="records")
    total: int = Field(examples=[1_000_000], description="records in the log")
    percent: float = Field(examples=[42.0])
    rate: float = Field(examples=[91_000.0], description="records a second")
    left_s: float | None = Field(examples=[6.4], description="seconds until it is level with the log, if known")
    builder: str | None = Field(examples=["process 4242 on shop-1"])


class ProjectionPosition(BaseModel):
    """How far a projection has come; `lag` is the sum over its partitions."""

    name: str = Field(examples=["orders"])
    generation: int = Field(examples=[1])
    lag: int = Field(examples=[6])
    partitions: list[PartitionPosition]
    rebuild: RebuildPosition | None = Field(description="the generation that is being built, if there is one")


class PositionsBody(BaseModel):
    """Every projection's position against the log's end."""

    projections: list[ProjectionPosition]
