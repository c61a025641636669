"""All services of the event backbone as real processes of one world, each to be killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg

from eventlog.settings import Settings
from local_stack.process import Child
from tests.kit.mailbox import MailboxProcess
from tests.kit.subscribers import Subscriber
from tests.kit.worlds import CommandApi, Worker, eventually


class System:
    """The services; `start` starts them all."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.api = CommandApi(settings, logs / "command-api.log")
        self.public = Worker(settings, logs / "public.log", "public")
        self.mailbox = MailboxProcess(settings, logs / "mailbox.log")
        commanding = settings.model_copy(update={"command_url": self.api.url})
        self.inventory = Subscriber(settings, logs / "inventory.log", "inventory")
        self.process = Subscriber(commanding, logs / "order-process.log", "order_process")
        self.email = Subscriber(self.mailbox.settings, logs / "email.log", "email")
        self.restarts = 0
        self._settings = settings

    @property
    def children(self) -> list[Child]:
        """Every process."""
        return [self.api, self.public, self.mailbox, *self.subscribers]

    @property
    def subscribers(self) -> list[Subscriber]:
        """Those of them that subscribe to public topics."""
        return [self.inventory, self.process, self.email]

    async def start(self) -> None:
        """Start all; return once each has its partitions."""
        for child in self.children:
            if isinstance(child, CommandApi | Subscriber):
                child.start_only()
            else:
                child.start()
        await self.are_ready()

    async def are_ready(self) -> None:
        """Return once each has its partitions."""
        serving: list[CommandApi | Subscriber] = [self.api, *self.subscribers]
        for child in serving:
            await eventually(child.is_ready, child)
        await eventually(lambda: self.public.logged("reading_from"), self.public)

    def kill_and_start(self, child: Child) -> None:
        """kill -9 of one service; it is started again at once, and is not waited for."""
        child.kill()
        if isinstance(child, Subscriber):
            self._unlock(child)
            child.start_only()
        elif isinstance(child, CommandApi):
            child.start_only()
        else:
            child.start()

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """While this is entered, a service that ends by itself is started again, as the stack does it."""

        async def tend() -> None:
            while True:
                for child in self.children:
                    if not child.is_alive():
                        self.restarts += 1
                        self.kill_and_start(child)
                await asyncio.sleep(0.5)

        tending = asyncio.create_task(tend())
        try:
            yield
        finally:
            tending.cancel()

    async def kill_mailbox(self) -> list[dict[str, object]]:
        """kill -9 of the mailbox and of its sender, both started again; the mails it had, which are nowhere else."""
        self.email.kill()
        await eventually(lambda: not self._is_sent_to(), self.mailbox)
        mails = self.mailbox.mails()
        self.mailbox.kill()
        self._unlock(self.email)
        self.email.start_only()
        self.mailbox.start()
        return mails

    async def parked(self) -> list[object]:
        """What any of the subscribers has set aside, tasks among it."""
        async with httpx.AsyncClient(timeout=30) as client:
            answers = [await client.get(f"{one.url}/parked") for one in self.subscribers]
        return [letter for answer in answers for letter in answer.raise_for_status().json()["parked"]]

    def _is_sent_to(self) -> bool:
        """Whether the mailbox has something of a connection for mails still to read or to close."""
        port = self.mailbox.settings.mailbox_smtp_port
        connections = psutil.Process(self.mailbox.pid).net_connections("tcp")
        return any(one.laddr.port == port and one.status != psutil.CONN_LISTEN for one in connections)

    def _unlock(self, subscriber: Subscriber) -> None:
        """What a dead process had claimed is due at once: it would be after a minute."""
        with psycopg.connect(self._settings.postgres_url) as connection:
            connection.execute(
                "UPDATE subscribers.outbox SET due_at = now() WHERE subscriber = %s AND state = 'waiting' "
                "AND due_at > now() AND id NOT LIKE 'timeout:%%'",
                [subscriber.subscription],
            )


@contextmanager
def system_of(settings: Settings, logs: Path) -> Iterator[System]:
    """The services, not started; they are killed afterwards."""
    with ExitStack() as stack:
        system = System(settings, logs)
        for child in system.children:
            stack.callback(child.kill)
        yield system
