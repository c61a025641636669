"""What the query API takes and answers."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from query_side.cursor import Cursor
from query_side.queries import Filters

Status = Literal["open", "confirmed", "rejected", "paid", "shipped", "delivered", "cancelled", "returned"]


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("control characters are not allowed")
    return text


def _cursor(text: str) -> str:
    Cursor.parse(text)
    return text


Time = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str),
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


class OrdersBody(BaseModel):
    """A page of orders, the last placed first; `next_cursor` is null on the last page."""

    orders: list[OrderBody]
    next_cursor: str | None = Field(examples=["AQAGU0x1c2VkAAtfHJ6PCkpjmg5dezwfKkQ"])


class OrdersParameters(BaseModel):
    """Which orders to list. Those that are not given do not narrow the list; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)] | None = None
    status: Status | None = None
    placed_after: AwareDatetime | None = Field(None, description="placed then or later; RFC 3339 with an offset")
    placed_before: AwareDatetime | None = Field(None, description="placed earlier than that")
    cursor: Annotated[str, Field(max_length=100), AfterValidator(_cursor)] | None = Field(
        None, description="next_cursor of the page before"
    )
    limit: int = Field(50, ge=1, le=200, description="orders on a page")

    def filters(self) -> Filters:
        """The parameters as the query takes them."""
        after = Cursor.parse(self.cursor) if self.cursor else None
        return Filters(self.customer_id, self.status, self.placed_after, self.placed_before, after)


class PartitionPosition(BaseModel):
    """`position` is the last offset that the view reflects, -1 for none; `end` is where the log will go on."""

    partition: int = Field(examples=[0])
    position: int = Field(examples=[123])
    end: int = Field(examples=[130])
    lag: int = Field(examples=[6], description="events that are in the log and not in the view yet")


class ProjectionPosition(BaseModel):
    """How far a projection has come; `lag` is the sum over its partitions."""

    name: str = Field(examples=["orders"])
    generation: int = Field(examples=[1])
    lag: int = Field(examples=[6])
    partitions: list[PartitionPosition]


class PositionsBody(BaseModel):
    """Every projection's position against the log's end."""

    projections: list[ProjectionPosition]
