"""The lives of orders as a shop sees them: customers who come back, changes of mind, mistakes.

Pure: what is drawn from `random` decides all, so a seed gives the same shop again.
"""

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

GOODS = {
    "TEA-EARL-GREY-100": 499,
    "TEA-ASSAM-100": 459,
    "TEA-DARJEELING-50": 899,
    "TEA-SENCHA-100": 1290,
    "TEA-OOLONG-50": 1490,
    "TEA-ROOIBOS-200": 650,
    "TEA-MINT-50": 390,
    "POT-CAST-IRON-1L": 5900,
    "POT-GLASS-08L": 2450,
    "CUP-WHITE": 1250,
    "CUP-BLUE": 1250,
    "CUP-DOUBLE-WALL": 1590,
    "SIEVE-STEEL": 790,
    "TIN-BLACK-200": 690,
    "KETTLE-GOOSENECK": 8900,
    "HONEY-LIME-250": 720,
    "BISCUITS-OAT": 349,
}
_NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Alan", "Katherine", "Tony", "Frances", "Donald", "Margaret", "Niklaus")
_SURNAMES = ("Jones", "Meyer", "Rossi", "Novak", "Silva", "Dubois", "Jansen", "Larsen", "Kovács", "Murphy", "García")
_PLACES = (("London", "SW1Y 4JH", "GB"), ("Berlin", "10117", "DE"), ("Lyon", "69001", "FR"), ("Turin", "10121", "IT"))
_STREETS = ("Church Lane", "Station Road", "Mill Street", "Garden Row", "Harbour View")
_CARRIERS = ("DHL", "DPD", "GLS")
_CUSTOMERS = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the shop to the command API; `path` is below /orders. `pause_s` is what passes before it.

    `decides` are those that confirm or reject an order: where an order process manager does that, it is waited for.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    if_match: str | None = None
    pause_s: float = 0.0
    decides: bool = False


@dataclass(slots=True)
class _Basket:
    order_id: UUID
    quantities: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(quantity * GOODS[sku] for sku, quantity in self.quantities.items())


def life(random: Random, pace_s: float) -> Generator[Call, bool | None, None]:
    """The requests of one order's life, from its placing on, `pace_s` seconds apart on average.

    It is sent whether each was accepted, and goes on accordingly; None counts as accepted. Changes of mind come soon:
    a shop is quick to confirm.
    """
    basket = _Basket(UUID(int=random.getrandbits(128), version=4))
    yield _place(random, basket)
    yield from _paced(_changes(random, basket), random, pace_s / 50)
    yield from _paced(_ending(random, basket), random, pace_s)
    yield from _paced(_mistake(random, basket), random, pace_s)


def _paced(
    calls: Generator[Call, bool | None, None], random: Random, pace_s: float
) -> Generator[Call, bool | None, None]:
    accepted: bool | None = None
    with suppress(StopIteration):
        while True:
            call = calls.send(accepted)
            accepted = yield replace(call, pause_s=random.expovariate(1 / pace_s))


def order_body(random: Random, order_id: UUID, quantities: Mapping[str, int]) -> dict[str, Any]:
    """The body of POST /orders for one of the shop's customers."""
    # A few customers buy most: the square pulls the draw towards the first numbers.
    number = int(_CUSTOMERS * random.random() ** 2)
    name, surname = _NAMES[number % len(_NAMES)], _SURNAMES[number // len(_NAMES) % len(_SURNAMES)]
    city, postal_code, country = _PLACES[number % len(_PLACES)]
    street = f"{number % 90 + 1} {_STREETS[number % len(_STREETS)]}"
    return {
        "order_id": str(order_id),
        "customer_id": f"customer-{number}",
        "email": f"{name.lower()}.{number}@example.com",
        "currency": "GBP" if country == "GB" else "EUR",
        "lines": [{"sku": sku, "quantity": q, "unit_price": GOODS[sku]} for sku, q in quantities.items()],
        "shipping_address": {
            "name": f"{name} {surname}",
            "street": street,
            "city": city,
            "postal_code": postal_code,
            "country": country,
        },
    }


def _place(random: Random, basket: _Basket) -> Call:
    for sku in random.sample(sorted(GOODS), random.choice((1, 1, 2, 2, 3, 5))):
        basket.quantities[sku] = random.choice((1, 1, 1, 2, 3, 6))
    body = order_body(random, basket.order_id, basket.quantities)
    if random.random() < 0.01:
        body["currency"] = "XXX"
    return Call("POST", "", body)


def _changes(random: Random, basket: _Basket) -> Generator[Call, bool | None, None]:
    path = f"/{basket.order_id}"
    if random.random() < 0.25:
        sku = random.choice(sorted(basket.quantities))
        more = basket.quantities[sku] + 1
        if (yield Call("PATCH", f"{path}/lines/{sku}", {"quantity": more})) is not False:
            basket.quantities[sku] = more
    if random.random() < 0.15 and (left := sorted(set(GOODS) - set(basket.quantities))):
        sku = random.choice(left)
        line = {"sku": sku, "quantity": 1, "unit_price": GOODS[sku]}
        if (yield Call("POST", f"{path}/lines", line)) is not False:
            basket.quantities[sku] = 1
    if random.random() < 0.1 and len(basket.quantities) > 1:
        sku = random.choice(sorted(basket.quantities))
        if (yield Call("DELETE", f"{path}/lines/{sku}")) is not False:
            del basket.quantities[sku]


def _ending(random: Random, basket: _Basket) -> Generator[Call, bool | None, None]:
    path, fate = f"/{basket.order_id}", random.random()
    if fate < 0.06:
        yield Call("POST", f"{path}/cancel", {"reason": random.choice(("changed my mind", "found it cheaper"))})
    elif fate < 0.09:
        yield Call("POST", f"{path}/reject", {"reason": "out of stock"}, decides=True)
    elif fate < 0.95:
        yield Call("POST", f"{path}/confirm", decides=True)
        yield Call("POST", f"{path}/payments", _payment(random, basket))
        yield Call("POST", f"{path}/ship", _shipment(random, basket))
        yield Call("POST", f"{path}/deliver")
        if random.random() < 0.08:
            sku = random.choice(sorted(basket.quantities))
            back = {"lines": [{"sku": sku, "quantity": 1}], "reason": "arrived broken"}
            yield Call("POST", f"{path}/returns", back)


def _payment(random: Random, basket: _Basket) -> dict[str, Any]:
    paid = {"amount": basket.total, "reference": f"pay-{basket.order_id}"}
    return paid if random.random() < 0.1 else {**paid, "method": random.choice(("card", "invoice", "transfer"))}


def _shipment(random: Random, basket: _Basket) -> dict[str, Any]:
    numbers = [f"JD{random.randrange(10**10):010}" for _ in basket.quantities]
    how: dict[str, Any] = {"parcels": numbers} if random.random() < 0.2 else {"tracking": numbers[0]}
    return {"carrier": random.choice(_CARRIERS), **how}


def _mistake(random: Random, basket: _Basket) -> Generator[Call, bool | None, None]:
    """Now and then somebody asks for what the order no longer allows, or for what it has become since."""
    path = f"/{basket.order_id}"
    match random.randrange(40):
        case 0:
            yield Call("POST", f"{path}/ship", {"carrier": "DHL", "tracking": "too late or too early"})
        case 1:
            yield Call("POST", f"{path}/cancel", {"reason": "too late"}, if_match='"1"')
        case 2:
            yield Call("POST", f"{path}/payments", {"amount": basket.total + 1, "reference": "a typo"})
