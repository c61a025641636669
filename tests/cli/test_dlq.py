"""`orderlog dlq` on what a subscriber parked, as a person sees it."""

import asyncio
import json
from subprocess import CompletedProcess
from uuid import UUID, uuid4

import psycopg

from eventlog.messages import message_headers
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from local_stack import preparing
from local_stack.services import environment_of
from schemas.public_events import OrderConfirmed
from service.database import connect
from subscribers.deliveries import Delivery, open_delivery
from subscribers.email.subscription import EMAIL
from subscribers.taking import take
from tests.kit.command_line import orderlog_here
from tests.kit.subscribers import PublicTopics, placed, told_of


def orderlog(settings: Settings, *arguments: str) -> CompletedProcess[str]:
    return orderlog_here("dlq", *arguments, variables=environment_of(settings) | {"COLUMNS": "220"})


def execute(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def park(settings: Settings) -> tuple[UUID, UUID]:
    """An order whose contact the database refuses, with another event behind it; and one that cannot be read."""
    await preparing.prepare(settings)
    topics = PublicTopics(settings)
    refused, garbled = uuid4(), uuid4()
    execute(settings, "ALTER TABLE email.contacts ADD CONSTRAINT no_euros CHECK (currency <> 'EUR')")
    deliveries = [Delivery("order.placed", 0, 0, 0, order_key(garbled), b"not avro", ())]
    for event in (placed(refused), told_of(OrderConfirmed, refused, 2)):
        message = topics.message(event)
        headers = tuple(message_headers(message, "test"))
        deliveries.append(
            Delivery(message.topic, 1, 0, 0, order_key(refused), topics.codec.encode(message.event), headers)
        )
    async with await connect(settings.postgres_url) as connection:
        await take(connection, EMAIL, [open_delivery(topics.codec, one) for one in deliveries], settings)
    return refused, garbled


def test_a_parked_message_is_listed_shown_brought_back_or_given_up(settings: Settings) -> None:
    refused, garbled = asyncio.run(park(settings))
    listed = orderlog(settings, "list", "--subscriber", "email").stdout.splitlines()
    assert [line.split()[:4] for line in listed if " email " in line] == [  # the others go on with a reason
        ["order.placed:0:0", str(garbled), "email", "failed"],
        [f"{refused}:1", str(refused), "email", "failed"],
        [f"{refused}:2", str(refused), "email", "behind"],
    ]
    assert orderlog(settings, "list", "--projection", "orders").stdout == "nothing is parked\n"
    shown = orderlog(settings, "show", f"{refused}:1", "--json")
    (whole,) = json.loads(shown.stdout)["parked"]
    assert (whole["position"], whole["attempts"], whole["headers"]["ce_type"]) == (
        "order.placed:1:0",
        1,
        "order.placed",
    )
    assert "no_euros" in whole["reason"]
    assert "no_euros" in whole["traceback"]
    assert "ce_type: order.placed" in orderlog(settings, "show", f"{refused}:1").stdout

    failed = orderlog(settings, "redrive", "--order", str(refused))
    assert (failed.returncode, failed.stderr) == (1, "")
    assert failed.stdout.startswith(f"order {refused} in email: 2 still parked: Postgres refuses it: ")
    execute(settings, "ALTER TABLE email.contacts DROP CONSTRAINT no_euros")
    tried = orderlog(settings, "redrive", "--order", str(refused), "--dry-run")
    assert (tried.returncode, tried.stdout) == (0, f"dry run: order {refused} in email: 2 applied\n")
    one = orderlog(settings, "redrive", f"{refused}:1", "--json")
    (outcome,) = json.loads(one.stdout)["outcomes"]
    assert (one.returncode, outcome["applied"], outcome["left"]) == (1, 1, 1)
    rest = orderlog(settings, "redrive", "--subscriber", "email", "--order", str(refused))
    assert (rest.returncode, rest.stdout) == (0, f"order {refused} in email: 1 applied\n")

    given_up = orderlog(settings, "discard", "order.placed:0:0", "--yes")
    assert (given_up.returncode, given_up.stdout) == (0, f"order {garbled} in email: 1 discarded\n")
    assert orderlog(settings, "list").stdout == "nothing is parked\n"
    gone = orderlog(settings, "redrive", f"{refused}:1")
    assert (gone.returncode, gone.stderr) == (2, f"orderlog: the event {refused}:1 is not parked\n")
