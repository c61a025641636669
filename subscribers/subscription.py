"""What a subscriber is: which topics it reads, what it does with their events, and what it answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.public_events import PublicEvent
from schemas.topics import Topic, dead_letters_of
from service.database import Connection
from subscribers.outbox import Perform

Answer = PublicEvent | None
Handle = Callable[[Connection, Sequence[Message], Settings], Awaitable[Sequence[Answer]]]
"""Takes messages in, in their order, inside the transaction that also notes them as taken; an answer for each.

What it raises is judged (subscribers/failures.py): an error of Postgres that passes is waited out, any other is
the fault of a message, which is found by handing them over one by one.
"""
HandleOne = Callable[[Connection, Message], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Effects:
    """What a subscriber does to the outside, from its outbox: `open` makes ready, `at_once` tasks are under way.

    `attempts` is how often a task may fail by its own fault until it is a dead letter. `what` says in two words what
    carrying out a task is, for traces. The tasks of a message have its `traceparent` in what they say.
    """

    open: Callable[[Settings], AbstractAsyncContextManager[Perform]]
    at_once: int
    attempts: Callable[[Settings], int]
    what: str = "do task"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber. `name` is that of its consumer group and of its rows, and `<name>.dlq` is its dead letter topic.

    Its answers go to `publishes`, whose schemas tell which event goes where. `router` is its REST interface, if any.
    """

    name: str
    topics: tuple[Topic, ...]
    handle: Handle
    publishes: tuple[Topic, ...] = ()
    effects: Effects | None = None
    router: APIRouter | None = None

    @property
    def dead_letters(self) -> Topic:
        """The topic of its dead letters."""
        return dead_letters_of(self.name)

    def topic_of(self, event: PublicEvent) -> str:
        """Where an answer goes. Raises LookupError for one that it does not say it publishes."""
        schema = f"public.{type(event).__name__}"
        for topic in self.publishes:
            if schema in topic.schemas:
                return topic.name
        raise LookupError(f"{self.name} does not publish {type(event).__name__}: add its topic to `publishes`")


def one_by_one(handlers: HandleOne | Mapping[Topic, HandleOne]) -> Handle:
    """A handler of messages from one for each topic, or from one for all."""
    by_topic = {topic.name: handler for topic, handler in handlers.items()} if isinstance(handlers, Mapping) else None

    async def handle(connection: Connection, messages: Sequence[Message], _settings: Settings) -> Sequence[Answer]:
        answers: list[Answer] = []
        for message in messages:
            handler = handlers if by_topic is None else by_topic[message.topic]
            answers.append(await handler(connection, message))  # type: ignore[operator]
        return answers

    return handle
