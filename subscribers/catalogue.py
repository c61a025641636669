"""The subscribers that there are."""

from subscribers.email.subscription import EMAIL
from subscribers.subscription import Subscription

_ALL: tuple[Subscription, ...] = (EMAIL,)
SUBSCRIPTIONS = {one.name: one for one in _ALL}
