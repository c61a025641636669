"""Histories of orders as a command side would record them, made at random."""

from collections.abc import Iterator
from random import Random
from uuid import UUID, uuid4

from schemas.events import (
    Address,
    Contact,
    Destination,
    Line,
    LineAdded,
    LineQuantityChanged,
    LineRemoved,
    LinesReturned,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRecorded,
    PaymentRefunded,
    Reason,
    ReturnedLine,
    ShippingAddressChanged,
)

HOME = Address("Ada Lovelace", "12 St James's Square", "London", "SW1Y 4JH", "GB")


def placed(order_id: UUID | None = None, customer_id: str = "customer-1", lines: tuple[Line, ...] = ()) -> OrderPlaced:
    """A new order of two pieces of tea at 4.99, or of `lines`."""
    contact = Contact(f"{customer_id}@example.com", HOME)
    return OrderPlaced(order_id or uuid4(), customer_id, "EUR", lines or (Line("TEA", 2, 499),), contact)


def history(random: Random) -> list[OrderEvent]:
    """The whole life of one order, of whatever kind."""
    order_id = UUID(int=random.getrandbits(128), version=4)
    lines = {f"SKU-{n}": (random.randint(1, 5), random.randint(1, 9_999)) for n in range(random.randint(1, 4))}
    first = tuple(Line(sku, quantity, price) for sku, (quantity, price) in lines.items())
    events: list[OrderEvent] = [placed(order_id, f"customer-{random.randint(1, 20)}", first)]
    events += _changes(random, order_id, lines)
    total = sum(quantity * price for quantity, price in lines.values())
    return events + _ending(random, order_id, total, {sku: quantity for sku, (quantity, _) in lines.items()})


def _changes(random: Random, order_id: UUID, lines: dict[str, tuple[int, int]]) -> Iterator[OrderEvent]:
    for n in range(random.randint(0, 3)):
        sku = random.choice(sorted(lines))
        quantity, price = random.randint(1, 9), random.randint(1, 9_999)
        match random.randint(0, 3):
            case 0:
                lines[f"ADDED-{n}"] = (quantity, price)
                yield LineAdded(order_id, f"ADDED-{n}", quantity, price)
            case 1:
                lines[sku] = (quantity, lines[sku][1])
                yield LineQuantityChanged(order_id, sku, quantity)
            case 2 if len(lines) > 1:
                del lines[sku]
                yield LineRemoved(order_id, sku)
            case _:
                yield ShippingAddressChanged(
                    order_id, Destination(Address("Ada", f"{n} Elm Street", "Bath", "1", "GB"))
                )


def _ending(random: Random, order_id: UUID, total: int, quantities: dict[str, int]) -> list[OrderEvent]:
    why = Reason("changed my mind")
    confirmed: list[OrderEvent] = [OrderConfirmed(order_id, total)]
    halves = (total // 2, total - total // 2)
    paid = [*confirmed, PaymentRecorded(order_id, halves[0], "a", "card"), PaymentRecorded(order_id, halves[1], "b")]
    shipped = OrderShipped(order_id, "DHL", "JD01", ("JD01", "JD02"))
    delivered: list[OrderEvent] = [*paid, shipped, OrderDelivered(order_id)]
    back = tuple(ReturnedLine(sku, quantity) for sku, quantity in quantities.items())
    endings: tuple[list[OrderEvent], ...] = (
        [],
        [OrderRejected(order_id, None)],
        [*confirmed],
        [*paid, OrderCancelled(order_id, why), PaymentRefunded(order_id, total)],
        [*delivered],
        [*delivered, LinesReturned(order_id, back[:1], why), PaymentRefunded(order_id, 1)],
        [*delivered, LinesReturned(order_id, back, why), PaymentRefunded(order_id, total)],
    )
    return random.choice(endings)
