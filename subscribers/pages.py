"""A subscriber's HTTP interface: health, and what it offers of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from eventlog.settings import Settings
from service import problems
from service.bodies import JsonBodies
from subscribers import parked_pages
from subscribers.deliverer import Deliverer
from subscribers.metrics import Metrics
from subscribers.runner import Runner
from subscribers.subscription import Subscription

router = APIRouter(include_in_schema=False)


class Parts:
    """What a subscriber's process runs."""

    def __init__(self, runner: Runner, deliverer: Deliverer | None, metrics: Metrics) -> None:
        self.runner = runner
        self.deliverer = deliverer
        self.metrics = metrics
        metrics.exposition.before_scrape(lambda: metrics.ready.put(self.not_ready() is None))

    def not_ready(self) -> str | None:
        """What it waits for; None when events flow."""
        reasons = (self.runner.waiting_for, self.deliverer.waiting_for if self.deliverer else None)
        return "; ".join(reason for reason in reasons if reason) or None

    def loops(self) -> Sequence[Callable[[], object]]:
        """Its loops."""
        return [self.runner.run, *([self.deliverer.run] if self.deliverer else [])]


def create_app(settings: Settings, subscription: Subscription, parts: Parts) -> FastAPI:
    """The application; the subscriber runs while it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(loop()) for loop in parts.loops()]  # type: ignore[call-overload]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(title=f"orderlog {subscription.name}", version="1", lifespan=lifespan)
    app.state.settings, app.state.subscription, app.state.parts = settings, subscription, parts
    app.add_middleware(JsonBodies, max_bytes=settings.max_body_bytes)
    app.include_router(router)
    app.include_router(parked_pages.router)
    if subscription.router:
        app.include_router(subscription.router)
    problems.install(app)
    return app


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether messages are taken in and tasks carried out; what they wait for, if not."""
    parts: Parts = request.app.state.parts
    reason = parts.not_ready()
    body = {"status": "not ready" if reason else "ready", "reason": reason, "partitions": parts.runner.assigned}
    return JSONResponse(body, 503 if reason else 200)
