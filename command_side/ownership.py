"""For which partitions this instance stands: those that the group gives it, and those it inherits from the dead.

The group notices a dead instance by its session, which takes seconds. A refused connection says it within
milliseconds; then one rule, the same for all survivors, says who stands for each of its partitions (rendezvous hashing:
Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). Should two differ in who is alive, one
fences the other, which costs an election and never a wrong event.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Self

import structlog

from command_side.election import Candidate
from command_side.membership import Membership
from command_side.neighbours import Neighbours
from command_side.owners import Owners
from command_side.partition_writer import Phase
from command_side.writers import Writers
from schemas.events import WriterElected

log = structlog.get_logger()


class Ownership:
    """Stands for partitions while entered; `hand_over` lets them go before the process ends."""

    def __init__(self, candidate: Candidate, writers: Writers, owners: Owners) -> None:
        self._candidate = candidate
        self._writers = writers
        self._owners = owners
        self._membership = Membership(candidate.settings, self._assigned)
        self.neighbours = Neighbours(self._gone)
        self._leaving = False
        owners.subscribe(self._owner_changed)

    async def __aenter__(self) -> Self:
        await self.neighbours.__aenter__()
        for partition, owner in self._owners:
            if owner.advertised_url == self._candidate.advertised_url:
                self._inherit(partition, owner)  # of the process that had this address before
            else:
                self._owner_changed(partition, owner)
        await self._membership.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving = True
        await self._membership.__aexit__()
        await self.neighbours.__aexit__()

    async def hand_over(self) -> None:
        """Leave the group, and write on until others have taken every partition over, `hand_over_s` at most.

        Without another instance that serves it returns at once: there is nobody to wait for.
        """
        self._leaving = True
        log.info("handing_over", partitions=[w.partition for w in self._writers if w.phase is Phase.SERVING])
        await self._membership.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._candidate.settings.hand_over_s):
                while self.neighbours.alive and any(writer.phase is Phase.SERVING for writer in self._writers):
                    await self._owners.changed()

    def _assigned(self, partitions: frozenset[int]) -> None:
        if self._leaving:
            return
        log.info("assigned", partitions=sorted(partitions))
        for partition in partitions:
            self._writers.stand(partition)
        for writer in self._writers:
            if writer.partition not in partitions:
                self._writers.withdraw(writer.partition)

    def _owner_changed(self, partition: int, owner: WriterElected) -> None:
        if owner.writer_id == self._candidate.writer_id:
            return
        if owner.advertised_url == self._candidate.advertised_url:
            fix = "give each instance an ORDERLOG_ADVERTISED_URL of its own"
            log.error("address_not_unique", url=owner.advertised_url, other=owner.writer_id, fix=fix)
        else:
            self.neighbours.watch(owner.advertised_url)

    def _gone(self, url: str) -> None:
        for partition, owner in self._owners:
            if owner.advertised_url == url and owner.writer_id != self._candidate.writer_id:
                self._inherit(partition, owner)
        self._owners.stir()

    def _inherit(self, partition: int, owner: WriterElected) -> None:
        ours = self._candidate.advertised_url
        if not self._leaving and heir(partition, {ours, *self.neighbours.alive}) == ours:
            log.info("inheriting", partition=partition, of=owner.writer_id)
            self._writers.stand(partition)


def heir(partition: int, urls: Iterable[str]) -> str:
    """Which of `urls` stands for `partition`: the same for everyone who knows the same urls."""
    return max(urls, key=lambda url: blake2b(f"{partition} {url}".encode()).digest())
