"""From a command to its HTTP answer: one way for every route."""

from datetime import UTC, datetime
from uuid import uuid4

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from command_side.api.preconditions import expected_version, fingerprint, idempotency_key, traceparent
from command_side.domain.commands import Command
from command_side.domain.rejections import Rejection
from command_side.outcomes import Accepted, CommandRequest, KeyReused, Outcome, Unanswered, Unavailable, VersionConflict
from command_side.writers import Writers
from service.problems import problem

# Rejections of what was asked for, whatever the order's state; all others are conflicts with it.
_REJECTION_STATUS = {"order-not-found": 404, "unknown-currency": 422, "duplicate-sku": 422, "invalid-command": 422}


async def execute(request: Request, command: Command, body: BaseModel | None, success: int = 200) -> Response:
    """Submit the command that `request` asks for with `body`; answer with `success` when it was accepted."""
    key = idempotency_key(request)
    command_id = key or str(uuid4())
    submission = CommandRequest(
        command=command,
        command_id=command_id,
        fingerprint=fingerprint(request, body) if key else "",
        expected_version=expected_version(request),
        time=datetime.now(UTC),
        correlation_id=command_id,
        traceparent=traceparent(request),
    )
    writers: Writers = request.app.state.writers
    try:
        return _answer(request, await writers.submit(submission), success)
    except Unavailable as unavailable:
        retry = {"Retry-After": str(unavailable.retry_after_s)}
        title = "The command was not tried"
        return problem(request, 503, "unavailable", title, str(unavailable), retry)
    except Unanswered as unanswered:
        detail = f"{unanswered}; send the same Idempotency-Key again to learn what became of it"
        title = "Whether the command took effect is not known"
        return problem(request, 503, "outcome-unknown", title, detail, {"Retry-After": "1"})


def _answer(request: Request, outcome: Outcome, success: int) -> Response:
    match outcome:
        case Accepted():
            return _accepted(outcome, success)
        case Rejection():
            return _rejected(request, outcome)
        case VersionConflict(expected, current):
            detail = f"If-Match names version {expected}, the order is at version {current}"
            headers = {"ETag": f'"{current}"'}
            title = "The order has changed since you read it"
            return problem(request, 412, "version-conflict", title, detail, headers, {"current_version": current})
        case KeyReused(key):
            detail = f"Idempotency-Key {key!r} belongs to another request on this order; use a new key"
            return problem(request, 422, "idempotency-key-reused", "The key was used for another request", detail)


def _accepted(accepted: Accepted, success: int) -> Response:
    position = str(accepted.position)
    # Nothing in it needs escaping.
    body = f'{{"order_id":"{accepted.order_id}","version":{accepted.version},"position":"{position}"}}'
    answer = Response(body, success, media_type="application/json")
    answer.raw_headers += [(b"etag", b'"%d"' % accepted.version), (b"orderlog-position", position.encode())]
    return answer


def _rejected(request: Request, rejection: Rejection) -> Response:
    status = _REJECTION_STATUS.get(rejection.type, 409)
    state = {"order_status": rejection.status, "order_version": rejection.version}
    return problem(request, status, rejection.type, rejection.title, rejection.detail, members=state)
