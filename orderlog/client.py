"""A client for orderlog's two APIs that repeats commands safely and reads its own writes."""

from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

_MIN_POSITION = "Orderlog-Min-Position"


class Refused(Exception):
    """The answer was an error; `problem` is its body (RFC 9457), `status` its HTTP status."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or f"HTTP {status}")
        self.status = status
        self.problem = problem


class _TryAgain(Exception):
    """Nobody knows yet, or the service is not ready: what was sent may be sent again."""


class OrderlogClient:
    """Commands and queries of one process; not for use by several threads at once.

    A command goes out under an Idempotency-Key and is repeated under the same one while it is not answered or
    answered with 503, for `patience_s` seconds, so it takes effect once. The positions of all commands go with each
    later query, which therefore shows what they did. What failed for good raises Refused, or httpx.TransportError.
    """

    def __init__(self, command_url: str, query_url: str, patience_s: float = 30.0, timeout_s: float = 20.0) -> None:
        self._commands = httpx.Client(base_url=command_url, timeout=timeout_s)
        self._queries = httpx.Client(base_url=query_url, timeout=timeout_s)
        self._patience_s = patience_s
        self._reached: dict[int, int] = {}

    @property
    def position(self) -> str:
        """The last record of each partition that this client's commands wrote: Orderlog-Min-Position."""
        return ",".join(f"{partition}:{offset}" for partition, offset in sorted(self._reached.items()))

    def command(self, method: str, path: str, body: Any = None, *, if_version: int | None = None) -> dict[str, Any]:
        """Send a command, such as `("POST", "/orders", {…})`; its answer: order_id, version and position.

        With `if_version` it only takes effect while the order is at that version.
        """
        headers = {"Idempotency-Key": str(uuid4())}
        if if_version is not None:
            headers["If-Match"] = f'"{if_version}"'
        answer: dict[str, Any] = self._send(self._commands, method, path, headers, json=body)
        partition, _, offset = answer["position"].partition(":")
        self._reached[int(partition)] = max(int(offset), self._reached.get(int(partition), -1))
        return answer

    def query(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a query, such as `("/orders", status="paid")`, once the views show this client's commands."""
        headers = {_MIN_POSITION: self.position} if self._reached else {}
        answer: dict[str, Any] = self._send(self._queries, "GET", path, headers, params=parameters)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._commands.close()
        self._queries.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _send(self, to: httpx.Client, method: str, path: str, headers: dict[str, str], **content: Any) -> Any:
        retrying = Retrying(
            retry=retry_if_exception_type((_TryAgain, httpx.TransportError)),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )
        try:
            return retrying(self._send_once, to, method, path, headers, **content)
        except _TryAgain as last:
            raise last.args[0] from None

    @staticmethod
    def _send_once(to: httpx.Client, method: str, path: str, headers: dict[str, str], **content: Any) -> Any:
        answer = to.request(method, path, headers=headers, **content)
        if answer.is_success:
            return answer.json()
        is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        refused = Refused(answer.status_code, answer.json() if is_problem else {})
        raise _TryAgain(refused) if answer.status_code == 503 else refused
