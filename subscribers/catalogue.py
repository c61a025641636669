"""The subscribers that there are."""

from subscribers.inventory.subscription import INVENTORY
from subscribers.subscription import Subscription

_ALL: tuple[Subscription, ...] = (INVENTORY,)
SUBSCRIPTIONS = {one.name: one for one in _ALL}
