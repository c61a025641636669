"""What the inventory's REST interface takes and answers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from subscribers.inventory.level import Level

MOST_PIECES = 1_000_000_000  # of one movement
PREFIX_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"


def _printable(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


def _not_zero(quantity: int) -> int:
    if quantity == 0:
        raise ValueError("must not be 0: that adjusts nothing")
    return quantity


class Body(BaseModel):
    """Unknown fields are errors: a misspelt one must not be dropped in silence."""

    model_config = ConfigDict(extra="forbid")


class ReceiptBody(Body):
    """Pieces that came in."""

    quantity: Annotated[int, Field(strict=True, ge=1, le=MOST_PIECES, examples=[100])]


class AdjustmentBody(Body):
    """Pieces that are there although nobody had told, or that are missing, when negative; and why."""

    quantity: Annotated[
        int, Field(strict=True, ge=-MOST_PIECES, le=MOST_PIECES, examples=[-2]), AfterValidator(_not_zero)
    ]
    reason: Annotated[
        str, Field(min_length=1, max_length=500, examples=["two were broken"]), AfterValidator(_printable)
    ]


class PageParameters(Body):
    """Which skus to list."""

    prefix: str = Field("", pattern=PREFIX_PATTERN, description="skus that begin so", examples=["TEA-"])
    after: str = Field("", pattern=PREFIX_PATTERN, description="`next_cursor` of the page before")
    limit: int = Field(50, ge=1, le=500, description="skus on a page")


class LevelBody(BaseModel):
    """Pieces of a sku: received = available + reserved + shipped."""

    sku: str = Field(examples=["TEA-EARL-GREY-100"])
    received: int = Field(examples=[100], description="all that came in, adjustments and `unstocked` included")
    available: int = Field(examples=[80], description="neither reserved nor gone")
    reserved: int = Field(examples=[15], description="an order's that was not shipped yet")
    shipped: int = Field(examples=[5], description="gone, and not returned")
    unstocked: int = Field(examples=[0], description="of those received: shipped though the stock had none on record")

    @classmethod
    def of(cls, sku: str, level: Level) -> "LevelBody":
        """The level of `sku` as an answer."""
        return cls(sku=sku, **level._asdict())


class StockBody(BaseModel):
    """A page of the stock."""

    stock: list[LevelBody]
    next_cursor: str | None = Field(description="where the next page begins; null on the last one")
