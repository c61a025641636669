"""The place in a list where the next page begins: opaque to clients, which only hand it back."""

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

_FORM = struct.Struct(">Bq16s")
_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last order of a page, by what the list is sorted by."""

    placed_at: datetime
    order_id: UUID

    def __str__(self) -> str:
        packed = _FORM.pack(_VERSION, (self.placed_at - _EPOCH) // _MICROSECOND, self.order_id.bytes)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises ValueError with a sentence for the client."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, microseconds, order_id = _FORM.unpack(packed)
            if version != _VERSION:
                raise ValueError
            return cls(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=order_id))
        except (ValueError, OverflowError, binascii.Error, struct.error) as error:
            raise ValueError("this is no cursor of ours; take next_cursor of the page before") from error
