"""The subscribers' composition root: the only place where a subscriber's parts are put together."""

import asyncio
import socket

from fastapi import FastAPI

from eventlog import topic_admin
from eventlog.settings import Settings
from schemas.errors import BadInput
from schemas.publish import load_public_codec
from schemas.registry import Registry
from service.schema_lookup import SchemaLookup
from service.serving import run_app
from service.sockets import listen
from subscribers.catalogue import SUBSCRIPTIONS
from subscribers.deliverer import Deliverer
from subscribers.feed import Feed
from subscribers.metrics import Metrics
from subscribers.pages import Parts, create_app
from subscribers.runner import Runner
from subscribers.subscription import Subscription

_LOOKUP_PATIENCE_S = 1.0  # a schema that cannot be had now is asked for again with the batch that needs it


class UnknownSubscriber(BadInput):
    """No subscription of the catalogue has this name."""


def run(name: str, settings: Settings) -> None:
    """Run the subscriber `name` until SIGTERM or SIGINT.

    Raises UnknownSubscriber, TopicMissing, TopicMismatch, NotRegistered; OSError when its port is taken; KafkaError or
    RegistryUnavailable when that part does not answer.
    """
    if name not in SUBSCRIPTIONS:
        raise UnknownSubscriber(f"there is no subscriber {name!r}; there is: {', '.join(SUBSCRIPTIONS)}")
    run_subscription(SUBSCRIPTIONS[name], settings)


def run_subscription(subscription: Subscription, settings: Settings) -> None:
    """As `run`, of a subscription whether or not it is in the catalogue."""
    name = subscription.name
    listener = listen(settings.subscriber_host, settings.subscriber_port_of(name))
    run_app(build_app(subscription, settings, listener), listener, f"subscriber-{name}", settings)


def build_app(subscription: Subscription, settings: Settings, listener: socket.socket) -> FastAPI:
    """The subscriber that `settings` describe, as the application that runs it."""
    topics = [*subscription.topics, *subscription.publishes, subscription.dead_letters]
    asyncio.run(topic_admin.require(settings, *topics))
    schemas = SchemaLookup(Registry(settings.registry_url, _LOOKUP_PATIENCE_S).schema)
    codec = load_public_codec(settings.registry_url, settings.topic_prefix, subscription.publishes, lookup=schemas)
    metrics = Metrics(subscription.name)
    # Each process has its own, the same when it starts again: it then ends, or takes up, what it left when killed.
    who = f"{subscription.name}-{socket.gethostname()}-{listener.getsockname()[1]}"
    effects = subscription.effects
    deliverer = Deliverer(settings, subscription, effects, metrics, who) if effects else None
    names = [topic.name for topic in subscription.topics]
    runner = Runner(
        settings,
        subscription,
        codec,
        schemas,
        lambda on_trouble: Feed(settings, subscription.name, names, who, on_trouble),
        metrics,
        deliverer.wake if deliverer else lambda: None,
    )
    return create_app(settings, subscription, Parts(runner, deliverer, metrics))
