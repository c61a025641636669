"""The subscribers that there are."""

from subscribers.email.subscription import EMAIL
from subscribers.inventory.subscription import INVENTORY
from subscribers.order_process.subscription import ORDER_PROCESS
from subscribers.subscription import Subscription

_ALL: tuple[Subscription, ...] = (INVENTORY, ORDER_PROCESS, EMAIL)
SUBSCRIPTIONS = {one.name: one for one in _ALL}
