"""What the statistics take and answer."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from query_side.api.direct import Parameters
from query_side.api.models import Status, Time

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])]
Minor = Annotated[int, Field(description="minor units of the currency", examples=[4990])]


class StatusCount(BaseModel):
    """How many orders have a status now."""

    status: Status
    orders: int = Field(examples=[12])


class OrdersByStatusBody(BaseModel):
    """Every status, also those that no order has."""

    statuses: list[StatusCount]


class RevenueParameters(Parameters):
    """Which stretches of time."""

    by: Literal["minute", "hour", "day"] = Field("day", description="how long a stretch is; UTC")
    since: AwareDatetime | None = Field(
        None, alias="from", description="stretches that begin then or later; RFC 3339 with an offset"
    )
    until: AwareDatetime | None = Field(None, alias="to", description="stretches that begin before that")
    currency: Currency | None = None


class Revenue(BaseModel):
    """What happened in a stretch of time that begins at `start`, late events included; revenue can be negative."""

    start: Time
    currency: Currency
    orders: int = Field(examples=[3], description="orders placed")
    payments: Minor
    refunds: Minor
    revenue: Annotated[int, Field(description="payments less refunds", examples=[4990])]


class RevenueBody(BaseModel):
    """Stretches in which something happened, in order of time."""

    by: str
    revenue: list[Revenue]


class TopParameters(Parameters):
    """How many, and in which order."""

    limit: int = Field(10, ge=1, le=1_000)
    currency: Currency | None = Field(None, description="only orders in it; needed to rank by revenue")


class TopSkusParameters(TopParameters):
    """Which skus, and in which order."""

    by: Literal["pieces", "revenue"] = "pieces"


class TopCustomersParameters(TopParameters):
    """Which customers, and in which order."""

    by: Literal["orders", "revenue"] = "orders"


class Sku(BaseModel):
    """Pieces of confirmed orders, without those cancelled or returned, and what they cost."""

    sku: str = Field(examples=["TEA-EARL-GREY-100"])
    currency: Currency
    pieces: int = Field(examples=[14])
    revenue: Minor


class TopSkusBody(BaseModel):
    """Skus, the best sold first."""

    skus: list[Sku]


class Customer(BaseModel):
    """Orders that a customer placed, and payments less refunds."""

    customer_id: str = Field(examples=["customer-42"])
    currency: Currency
    orders: int = Field(examples=[5])
    revenue: Minor


class TopCustomersBody(BaseModel):
    """Customers, the best first."""

    customers: list[Customer]


def seconds(time: datetime) -> int:
    """The first whole second that is not before `time`."""
    whole = int(time.timestamp() // 1)
    return whole if time.timestamp() == whole else whole + 1
