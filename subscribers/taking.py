"""Takes a batch of messages in: one transaction for what they ask for, the inbox, and what must be set aside."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from eventlog.messages import Message
from eventlog.settings import Settings
from service.database import Connection
from subscribers import inbox, parking
from subscribers.deliveries import Opened, Place
from subscribers.failures import is_fault
from subscribers.inbox import Taken
from subscribers.parking import SetAside
from subscribers.subscription import Answer, Subscription


class Batch:
    """What came of a batch: `answers` are to be published with its offsets, and so are notices of what is `parked`.

    `taken` counts messages that were new, `repeated` those that were known.
    """

    def __init__(self) -> None:
        self.answers: list[Message] = []
        self.parked: list[SetAside] = []
        self.taken = 0
        self.repeated = 0

    def sort(
        self,
        opened: Sequence[Opened],
        before: Mapping[Place, SetAside],
        known: Mapping[str, tuple[Place, Message | None]],
    ) -> list[Opened]:
        """Those of `opened` that are new; of the others, what may not have been told yet is to be told again."""
        fresh: dict[str, Opened] = {}
        for one in opened:
            delivery = one.delivery
            if was := before.get(delivery.place):
                self.parked.append(was)
            elif delivery.event_id in known or delivery.event_id in fresh:
                self.repeated += 1
                place, answer = known.get(delivery.event_id, (None, None))
                if answer and place == delivery.place:
                    self.answers.append(answer)
            else:
                fresh[delivery.event_id] = one
        return list(fresh.values())


async def take(
    connection: Connection, subscription: Subscription, opened: Sequence[Opened], settings: Settings
) -> Batch:
    """Take `opened` in, each exactly once; safe to repeat, and its answers are then the same.

    Raises what `judge` (subscribers/failures.py) calls passing, or a reason to stop; nothing has changed then.
    """
    name = subscription.name
    batch = Batch()
    async with connection.transaction():
        await parking.share(connection, name)
        deliveries = [one.delivery for one in opened]
        before = await parking.parked_before(connection, name, deliveries)
        known = await inbox.known(connection, name, deliveries)
        held = await parking.held_orders(connection, name, deliveries)
        fresh = batch.sort(opened, before, known)
        taken, parked = await _handle(connection, subscription, fresh, held, settings)
        await inbox.enter(connection, name, taken)
        await parking.park(connection, name, parked, settings.max_parked_orders)
    batch.taken = len(taken)
    batch.answers += [one.answer for one in taken if one.answer]
    batch.parked += parked
    return batch


async def _handle(
    connection: Connection, subscription: Subscription, fresh: Sequence[Opened], held: set[UUID], settings: Settings
) -> tuple[list[Taken], list[SetAside]]:
    """Handle what can be handled: all at once if that works, else one by one, each order up to what fails."""
    readable = [one for one in fresh if one.message and one.delivery.order_id not in held]
    if len(readable) == len(fresh):
        try:
            return await handle(connection, subscription, readable, settings), []
        except Exception as error:
            if not is_fault(error):
                raise
    taken: list[Taken] = []
    parked: list[SetAside] = []
    for one in fresh:
        if one.delivery.order_id in held:
            parked.append(parking.behind(one.delivery))
            continue
        try:
            if one.error:
                raise one.error
            taken += await handle(connection, subscription, [one], settings)
        except Exception as error:
            if not is_fault(error):
                raise
            parked.append(parking.failed(one.delivery, error))
            held |= {order for order in (one.delivery.order_id,) if order}
    return taken, parked


async def handle(
    connection: Connection, subscription: Subscription, opened: Sequence[Opened], settings: Settings
) -> list[Taken]:
    """Hand messages to the subscriber, all or none of them; with their answers."""
    messages = [one.message for one in opened if one.message]
    if not messages:
        return []
    async with connection.transaction():
        answers = await subscription.handle(connection, messages, settings)
    now = datetime.now(UTC)
    answered = zip(opened, messages, answers, strict=True)
    return [Taken(one.delivery, _message(subscription, message, answer, now)) for one, message, answer in answered]


def _message(subscription: Subscription, message: Message, answer: Answer, now: datetime) -> Message | None:
    """The answer as a message: its id is made from the question's, so that it is the same each time."""
    if answer is None:
        return None
    return Message(
        event_id=f"{subscription.name}:{message.event_id}",
        topic=subscription.topic_of(answer),
        time=now,
        event=answer,
        correlation_id=message.correlation_id,
        causation_id=message.event_id,
        traceparent=message.traceparent,
    )


def first(parked: Iterable[SetAside]) -> str:
    """Why the first of `parked` that failed did."""
    return next((one.reason for one in parked if one.error), parking.BEHIND)
