"""Why a command was refused, as its problem: the same over REST and on a line of a bulk request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from command_side.domain.rejections import Rejection
from command_side.outcomes import KeyReused, NotServing, Unanswered, Unavailable, VersionConflict

# Rejections of what was asked for, whatever the order's state; all others are conflicts with it.
_REJECTION_STATUS = {
    "order-not-found": 404,
    "unknown-currency": 422,
    "duplicate-sku": 422,
    "invalid-command": 422,
    "newer-release-needed": 503,
}
_UPGRADE_S = "5"  # in which the partition may get a writer of another release

# Tells an instance that sent a command on that it may look for another owner.
NOT_SERVING = "not-serving"

Refused = Rejection | VersionConflict | KeyReused | Unavailable | Unanswered


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem's parts, as service.problems takes them; `headers` are of the HTTP answer only."""

    status: int
    slug: str
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)


def refusal(refused: Refused) -> Refusal:
    """What a client is told of a command that was refused, or of which nobody can tell."""
    match refused:
        case Rejection():
            status = _REJECTION_STATUS.get(refused.type, 409)
            state = {"order_status": refused.status, "order_version": refused.version}
            headers = {"Retry-After": _UPGRADE_S} if status == 503 else {}
            return Refusal(status, refused.type, refused.title, refused.detail, headers, state)
        case VersionConflict(expected, current):
            detail = f"If-Match names version {expected}, the order is at version {current}"
            title, headers = "The order has changed since you read it", {"ETag": f'"{current}"'}
            return Refusal(412, "version-conflict", title, detail, headers, {"current_version": current})
        case KeyReused(key):
            detail = f"Idempotency-Key {key!r} belongs to another request on this order; use a new key"
            return Refusal(422, "idempotency-key-reused", "The key was used for another request", detail)
        case Unavailable():
            slug = NOT_SERVING if isinstance(refused, NotServing) else "unavailable"
            headers = {"Retry-After": str(refused.retry_after_s)}
            return Refusal(503, slug, "The command was not tried", str(refused), headers)
        case Unanswered():
            detail = f"{refused}; send the same Idempotency-Key again to learn what became of it"
            title = "Whether the command took effect is not known"
            return Refusal(503, "outcome-unknown", title, detail, {"Retry-After": "1"})
