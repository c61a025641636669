"""From a command to its HTTP answer: one way for every route."""

from datetime import UTC, datetime
from uuid import uuid4

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from command_side.api.forwarding import sender, time_left
from command_side.api.kinds import Kind
from command_side.api.preconditions import expected_version, fingerprint, happened_at, traceparent
from command_side.api.refusals import Refused, refusal
from command_side.domain.commands import Command
from command_side.outcomes import Accepted, CommandRequest, Unanswered, Unavailable
from command_side.routing import Router
from service.idempotency import idempotency_key
from service.problems import problem


async def execute(request: Request, kind: Kind, command: Command, body: BaseModel | None) -> Response:
    """Submit the command that `request` asks for with `body`, and answer."""
    key = idempotency_key(request)
    command_id, now = key or str(uuid4()), datetime.now(UTC)
    submission = CommandRequest(
        command=command,
        command_id=command_id,
        fingerprint=fingerprint(kind.method, kind.address(command), body) if key else "",
        expected_version=expected_version(request),
        time=happened_at(body, now),
        recorded_at=now,
        correlation_id=command_id,
        traceparent=traceparent(request),
    )
    router: Router = request.app.state.router
    given_s = time_left(request)
    forward = None if given_s else sender(request, command.order_id)
    try:
        outcome = await router.submit(submission, forward, given_s)
    except (Unavailable, Unanswered) as error:
        return _refused(request, error)
    if isinstance(outcome, Response):
        return outcome
    return _accepted(outcome, kind.success) if isinstance(outcome, Accepted) else _refused(request, outcome)


def _accepted(accepted: Accepted, success: int) -> Response:
    position = str(accepted.position)
    # Nothing in it needs escaping.
    body = f'{{"order_id":"{accepted.order_id}","version":{accepted.version},"position":"{position}"}}'
    answer = Response(body, success, media_type="application/json")
    answer.raw_headers += [(b"etag", b'"%d"' % accepted.version), (b"orderlog-position", position.encode())]
    return answer


def _refused(request: Request, refused: Refused) -> Response:
    told = refusal(refused)
    return problem(request, told.status, told.slug, told.title, told.detail, told.headers, told.members)
