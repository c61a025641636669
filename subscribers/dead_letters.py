"""The dead letter topics: a notice for people and tools of what a subscriber set aside.

It is written in the transaction that commits the batch, so there is one for each parked message. What is parked stands
in Postgres (parking.py), and `orderlog dlq` works on that.
"""

from subscribers.feed import Outgoing
from subscribers.parking import SetAside
from subscribers.subscription import Subscription

_MOST_BYTES = 900_000  # the notice has headers besides, and must be no larger than the broker takes


def notice(subscription: Subscription, one: SetAside) -> Outgoing:
    """The record with its own headers, and who parked it, where it was, why."""
    delivery = one.delivery
    told = {
        "parked_by": subscription.name,
        "parked_position": ":".join(str(part) for part in delivery.place),
        "parked_reason": one.reason,
        "parked_attempts": str(one.attempts),
    }
    headers = [*delivery.headers, *((name, value.encode()) for name, value in told.items())]
    value = delivery.value if delivery.value and len(delivery.value) <= _MOST_BYTES else b""
    return Outgoing(subscription.dead_letters.name, delivery.key, value, headers)
