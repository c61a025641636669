"""The subscribers that there are."""

from subscribers.subscription import Subscription

_ALL: tuple[Subscription, ...] = ()
SUBSCRIPTIONS = {one.name: one for one in _ALL}
