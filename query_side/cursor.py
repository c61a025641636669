"""How a list is sorted, and the place in it where the next page begins: opaque to clients, which hand it back."""

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

_FORM = struct.Struct(">BBq16s")
_VERSION = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Sort(StrEnum):
    """What a list is sorted by; with a minus the greatest comes first. The order's id decides between equals."""

    PLACED_AT = "placed_at"
    LAST_PLACED = "-placed_at"
    UPDATED_AT = "updated_at"
    LAST_UPDATED = "-updated_at"
    TOTAL = "total"
    GREATEST_TOTAL = "-total"

    @property
    def column(self) -> str:
        """The column of `orders`."""
        return self.value.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.value.startswith("-")


_SORTS = list(Sort)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last order of a page, by what the list is sorted by; `key` is a time in microseconds, or a total."""

    sort: Sort
    key: int
    order_id: UUID

    @classmethod
    def at(cls, sort: Sort, value: Any, order_id: UUID) -> Self:
        """The cursor behind the order `order_id` whose column of `sort` has `value`."""
        key = (value - _EPOCH) // _MICROSECOND if isinstance(value, datetime) else value
        return cls(sort, key, order_id)

    @property
    def value(self) -> datetime | int:
        """What the order's column has."""
        return self.key if self.sort.column == "total" else _EPOCH + self.key * _MICROSECOND

    def __str__(self) -> str:
        packed = _FORM.pack(_VERSION, _SORTS.index(self.sort), self.key, self.order_id.bytes)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises ValueError with a sentence for the client."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, sort, key, order_id = _FORM.unpack(packed)
            cursor = cls(_SORTS[sort], key, UUID(bytes=order_id))
            if version != _VERSION or cursor.value is None:  # a key that is no time raises OverflowError
                raise ValueError
            return cursor
        except (ValueError, IndexError, OverflowError, binascii.Error, struct.error) as error:
            raise ValueError("this is no cursor of ours; take next_cursor of the page before") from error
