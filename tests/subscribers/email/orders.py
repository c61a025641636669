"""Orders whose customers have an address."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from schemas.events import Address, Contact
from schemas.public_events import PublicEvent
from tests.kit.subscribers import placed

ANN = Contact("ann@example.com", Address("Ann", "", "", "", "GB"))


def whole(order_id: UUID, version: int = 1, contact: Contact | None = ANN, **fields: Any) -> PublicEvent:
    """order.placed, or order.changed from version 2 on."""
    order = placed(order_id, version=version, changed=version > 1)
    told: PublicEvent = replace(order, personal_data=contact, **fields)
    return told
