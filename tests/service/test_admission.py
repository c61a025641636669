"""Who is let in, who waits, who is refused: always within bounds, first come, first served."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from service.admission import Admission


class Serving:
    """An application whose requests last until they are let go; knows how many were inside at once."""

    def __init__(self) -> None:
        self.inside, self.most, self.order = 0, 0, list[str]()
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(scope["path"])
        await self.go.wait()
        self.inside -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})


def admission(app: Serving, **limits: Any) -> Admission:
    given = {"at_once": 2, "wait_s": 60.0, "most_waiting": 100, **limits}
    return Admission(app, exempt="sent-on", always=frozenset({"/healthz"}), **given)


async def ask(app: Admission, path: str = "/orders", *headers: tuple[bytes, bytes]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "headers": list(headers)}, receive, send)
    return sent


async def test_others_wait_and_come_in_in_turn() -> None:
    serving = Serving()
    app = admission(serving)
    asked = [asyncio.create_task(ask(app, f"/{number}")) for number in range(50)]
    await asyncio.sleep(0)
    assert serving.inside == 2
    serving.go.set()
    answers = await asyncio.gather(*asked)
    assert {answer[0]["status"] for answer in answers} == {200}
    assert serving.most == 2
    assert serving.order == [f"/{number}" for number in range(50)]


async def test_who_waited_too_long_is_refused_and_told_when_to_come_again() -> None:
    serving = Serving()
    app = admission(serving, wait_s=0.01)
    inside = [asyncio.create_task(ask(app)) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await asyncio.gather(*(ask(app, '/a"b') for _ in range(10)))
    for start, body in refused:
        assert start["status"] == 503
        assert dict(start["headers"])[b"retry-after"] == b"1"
        assert json.loads(body["body"])["instance"] == '/a"b'
    serving.go.set()
    assert [(await one)[0]["status"] for one in inside] == [200, 200]
    assert (await ask(app))[0]["status"] == 200, "it goes on afterwards"


async def test_past_the_most_that_may_wait_it_is_refused_at_once() -> None:
    serving = Serving()
    app = admission(serving, most_waiting=3)
    asked = [asyncio.create_task(ask(app)) for _ in range(5)]
    await asyncio.sleep(0)
    assert (await ask(app))[0]["status"] == 503
    serving.go.set()
    assert {(await one)[0]["status"] for one in asked} == {200}


async def test_a_client_that_goes_away_gives_its_place_up() -> None:
    serving = Serving()
    app = admission(serving)
    asked = [asyncio.create_task(ask(app)) for _ in range(4)]
    await asyncio.sleep(0)
    asked[2].cancel()
    asked[0].cancel()
    await asyncio.gather(asked[0], asked[2], return_exceptions=True)
    serving.go.set()
    assert [(await asked[number])[0]["status"] for number in (1, 3)] == [200, 200]


async def test_health_and_what_another_instance_let_in_do_not_wait() -> None:
    serving = Serving()
    app = admission(serving)
    asked = [asyncio.create_task(ask(app)) for _ in range(2)]
    asked += [asyncio.create_task(ask(app, "/healthz")), asyncio.create_task(ask(app, "/orders", (b"sent-on", b"5")))]
    await asyncio.sleep(0)
    assert serving.inside == 4
    serving.go.set()
    await asyncio.gather(*asked)
