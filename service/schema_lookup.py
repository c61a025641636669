"""Schemas that a worker does not know yet, fetched without holding up its event loop or a transaction of its.

The codec decodes without waiting: a schema it lacks is asked for by an exception, fetched in a thread once the
transaction is rolled back, and the work is done again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from schemas.avro import Schema

T = TypeVar("T")


class SchemaWanted(Exception):
    """A record was written under a schema that has to be fetched first."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema {schema_id} was not fetched yet")
        self.schema_id = schema_id


class SchemaLookup:
    """A codec's `lookup` that answers from what `fetch`, a blocking call, has brought."""

    def __init__(self, fetch: Callable[[int], Schema]) -> None:
        self._fetch = fetch
        self._found: dict[int, Schema] = {}
        self._absent: set[int] = set()

    def __call__(self, schema_id: int) -> Schema:
        """The schema. Raises SchemaWanted, or KeyError when the registry was asked and has none."""
        if schema_id in self._absent:
            raise KeyError(schema_id)
        if schema_id not in self._found:
            raise SchemaWanted(schema_id)
        return self._found[schema_id]

    async def around(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, called again after each schema it wanted. Raises RegistryUnavailable."""
        try:
            while True:
                try:
                    return await work()
                except SchemaWanted as wanted:
                    await self._bring(wanted.schema_id)
        finally:
            self._absent.clear()  # it may be registered by the next time

    async def _bring(self, schema_id: int) -> None:
        self._absent.add(schema_id)
        with suppress(KeyError):
            self._found[schema_id] = await asyncio.to_thread(self._fetch, schema_id)
            self._absent.discard(schema_id)
