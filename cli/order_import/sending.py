"""Orders to the command API in bulk requests, sent again until each of them has its answer."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from schemas.errors import Explained

# A request's lines stay below what the API takes in before its results must be read (ORDERLOG_MAX_BULK_COMMANDS).
_BATCH_ORDERS, _BATCH_BYTES = 1_000, 1024 * 1024
_AT_ONCE, _READY = 4, 2
_HEADERS = {"Content-Type": "application/x-ndjson"}
_TIMEOUT_S = 60.0  # without a byte; the API answers a command, if only with 503, well before
_EXISTS = "urn:orderlog:problem:order-exists"


@dataclass(frozen=True, slots=True)
class Keyed:
    """An order under its key, from `line` of the file; `named` says whether the file gives it an id."""

    line: int
    key: str
    body: bytes
    named: bool

    def command(self) -> bytes:
        """Its line of a bulk request."""
        return b'{"command":"place_order","idempotency_key":"%s","body":%s}\n' % (self.key.encode(), self.body)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order is in the log, by this request or by an earlier one under the same key."""


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The order was placed so long ago that its key was forgotten since."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The order was refused, and will be each time; `problem` is the API's (RFC 9457)."""

    problem: dict[str, Any]


Fate = Accepted | AlreadyThere | Rejected


class NotTheCommandApi(Explained):
    """What answers at the address takes no bulk commands."""


class _Again(Exception):
    """Some orders have no answer yet; the message says why."""


class _Result(msgspec.Struct):
    line: int
    status: int
    problem: dict[str, Any] | None = None


_results = msgspec.json.Decoder(_Result)


class Sender:
    """Sends orders to the API at `url`; `settled` is told each one's fate, `waiting` why some have none yet."""

    def __init__(self, url: str, settled: Callable[[Keyed, Fate], None], waiting: Callable[[str], None]) -> None:
        self._url = f"{url.rstrip('/')}/commands"
        self._settled, self._waiting = settled, waiting

    async def send_all(self, orders: Iterable[Keyed]) -> None:
        """Return once every order has its fate, however long the API is away. Raises NotTheCommandApi.

        No more of `orders` is taken than is under way and a little ahead of it.
        """
        # Two are ready before they are needed, so that the API has work while the file is read.
        ready: asyncio.Queue[list[Keyed] | None] = asyncio.Queue(_READY)
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            # Not a task group: its errors come in groups, which nobody above expects.
            await asyncio.gather(_read_ahead(orders, ready), *(self._send_some(client, ready) for _ in range(_AT_ONCE)))

    async def _send_some(self, client: httpx.AsyncClient, ready: "asyncio.Queue[list[Keyed] | None]") -> None:
        while batch := await ready.get():
            await self._deliver(client, batch)

    async def _deliver(self, client: httpx.AsyncClient, batch: list[Keyed]) -> None:
        left: Sequence[Keyed] = batch
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            wait=wait_exponential_jitter(multiplier=0.1, max=5),
            before_sleep=self._explain,
        ):
            with attempt:
                left, reason = await self._attempt(client, left)
                if left:
                    raise _Again(reason)

    def _explain(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        self._waiting(str(error))

    async def _attempt(self, client: httpx.AsyncClient, orders: Sequence[Keyed]) -> tuple[list[Keyed], str]:
        """Those that have no answer yet after one request, and why."""
        content = b"".join([order.command() for order in orders])
        received, reason = bytearray(), "the answer ended before its last line"
        try:
            async with client.stream("POST", self._url, content=content, headers=_HEADERS) as answer:
                if answer.status_code != httpx.codes.OK or not _is_of_lines(answer):
                    return list(orders), _whole_refusal(answer)
                async for piece in answer.aiter_raw():
                    received += piece
        except httpx.TransportError as error:
            reason = f"{self._url} does not answer: {error or type(error).__name__}"
        return self._settle(orders, received, reason)

    def _settle(self, orders: Sequence[Keyed], received: bytearray, reason: str) -> tuple[list[Keyed], str]:
        whole, _, _cut = received.rpartition(b"\n")
        left: list[Keyed] = []
        results = _results.decode_lines(whole)
        for result in results:
            order = orders[result.line - 1]
            fate = _fate(order, result)
            if fate:
                self._settled(order, fate)
            else:
                left.append(order)
                reason = str((result.problem or {}).get("detail"))
        return left + list(orders[len(results) :]), reason


def _is_of_lines(answer: httpx.Response) -> bool:
    given: str = answer.headers.get("content-type", "")
    return given.startswith(_HEADERS["Content-Type"])


def _whole_refusal(answer: httpx.Response) -> str:
    """Why the request as a whole was not taken, when it may be later. Raises NotTheCommandApi."""
    if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise NotTheCommandApi(f"{answer.url} answers {answer.status_code}: it is not orderlog's command API")
    return f"{answer.url} answers {answer.status_code}"


def _fate(order: Keyed, result: _Result) -> Fate | None:
    """What the result means for the order; None when it is to be sent again."""
    if result.problem is None:
        return Accepted()
    if result.status in (429, 503):
        return None
    # An order without an id got its id from its key, and the key is a digest of its content: who has the id is this
    # very order. With an id of its own it may as well be another order.
    if result.problem["type"] == _EXISTS and not order.named:
        return AlreadyThere()
    return Rejected(result.problem)


async def _read_ahead(orders: Iterable[Keyed], ready: "asyncio.Queue[list[Keyed] | None]") -> None:
    for batch in _batches(orders):
        await ready.put(batch)
        await asyncio.sleep(0)  # what was sent meanwhile, and answered, is not to wait for the next
    for _ in range(_AT_ONCE):
        await ready.put(None)


def _batches(orders: Iterable[Keyed]) -> Iterator[list[Keyed]]:
    batch: list[Keyed] = []
    size = 0
    for order in orders:
        batch.append(order)
        size += len(order.body)
        if len(batch) >= _BATCH_ORDERS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
