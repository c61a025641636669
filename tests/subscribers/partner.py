"""A subscriber that does something to the outside: it posts each order that was placed to a partner's server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.topics import ORDER_PLACED
from service.database import Connection
from subscribers import outbox
from subscribers.bootstrap import run_subscription
from subscribers.outbox import Done, Later, Outcome, Perform, Task, Unavailable
from subscribers.subscription import Answer, Effects, Subscription, one_by_one


async def owe(connection: Connection, message: Message) -> Answer:
    """Write down that the partner is to be told."""
    task = Task(f"post:{message.event_id}", message.event_id, message.event.order_id, {"topic": message.topic})
    await outbox.put(connection, "partner", [task])
    return None


@asynccontextmanager
async def posting(_settings: Settings) -> AsyncIterator[Perform]:
    """Ready to tell the partner."""
    async with httpx.AsyncClient(timeout=10) as client:

        async def post(task: Task) -> Outcome:
            body = {"order_id": str(task.order_id), **task.what}
            try:
                answer = await client.post(os.environ["PARTNER_URL"], json=body, headers={"Idempotency-Key": task.id})
            except httpx.TransportError as error:
                return Unavailable(f"the partner does not answer: {error}")
            return Done() if answer.is_success else Later(f"the partner answers {answer.status_code}")

        yield post


PARTNER = Subscription(
    name="partner",
    topics=(ORDER_PLACED,),
    handle=one_by_one(owe),
    effects=Effects(open=posting, at_once=4, attempts=lambda _settings: 5),
)

if __name__ == "__main__":
    run_subscription(PARTNER, Settings())
