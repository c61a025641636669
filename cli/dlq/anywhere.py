"""What is parked of projections and of subscribers, found and worked on as one."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from eventlog.settings import Settings
from projections.catalogue import IN_POSTGRES, IN_TABLES, VIEWS
from projections.parking_anywhere import ParkedAnywhere
from projections.parking_pages import outcome_as_dict
from projections.parking_records import NotParked, ParkedEvent, Selection, select, select_parked
from projections.parking_redrive import Outcome as EventsOutcome
from schemas.errors import BadInput
from service.database import connect
from subscribers.catalogue import SUBSCRIPTIONS
from subscribers.parked_records import DeadTask, NothingParked, ParkedMessage, Which, select_messages, select_tasks
from subscribers.redrive import Outcome as MessagesOutcome
from subscribers.redrive import open_dead_letters

Parked = ParkedEvent | ParkedMessage | DeadTask
_POSITION = re.compile(r"\d+:\d+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for: `at` is a position in the log or the id of a public event."""

    at: str | None = None
    order_id: UUID | None = None
    everything: bool = False
    projection: str | None = None
    subscriber: str | None = None

    def __post_init__(self) -> None:
        """Raises BadInput for what contradicts itself, and for names that nothing has."""
        if (self.at is not None) + (self.order_id is not None) + self.everything != 1:
            raise BadInput(
                "say which parked events: one by its position (partition:offset) or event id, one --order, or --all"
            )
        if self.projection and self.subscriber:
            raise BadInput("--projection and --subscriber exclude each other")
        for what, name, known in (
            ("projection", self.projection, VIEWS),
            ("subscriber", self.subscriber, SUBSCRIPTIONS),
        ):
            if name and name not in known:
                raise BadInput(f"there is no {what} {name!r}; there is: {', '.join(known)}")
        if self.projection and self.at and not self._is_position:
            raise BadInput(f"{self.at!r} is not a position; write partition:offset, for example 3:1207")
        if self.subscriber and self._is_position:
            raise BadInput(
                f"{self.at} is a position in the log; a subscriber's events have ids, such as order.events:3:1207"
            )

    @property
    def _is_position(self) -> bool:
        return self.at is not None and _POSITION.fullmatch(self.at) is not None

    @property
    def of_projections(self) -> Selection | None:
        """The part that projections have; None when they are not meant."""
        if self.subscriber or (self.at and not self._is_position):
            return None
        return select(self.projection, self.at, self.order_id, self.everything)

    @property
    def of_subscribers(self) -> Which | None:
        """The part that subscribers have; None when they are not meant."""
        if self.projection or self._is_position:
            return None
        return Which(self.subscriber, self.at, self.order_id)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one order, record or task: a sentence, the same for JSON, and whether some of it stays parked."""

    sentence: str
    shown: dict[str, Any]
    left: int


async def parked(settings: Settings, asked: Asked, *, all_generations: bool = False) -> list[Parked]:
    """What is parked of it; the projections' part in log order."""
    found: list[Parked] = []
    async with await connect(settings.postgres_url) as connection:
        if selection := asked.of_projections:
            generations = Selection(
                selection.projection, selection.order_id, selection.position, live=not all_generations
            )
            found += await select_parked(connection, generations)
        if (which := asked.of_subscribers) is not None:
            found += await select_messages(connection, which)
            found += await select_tasks(connection, which)
    return found


async def redrive(settings: Settings, asked: Asked, *, dry_run: bool) -> list[Result]:
    """Apply it again. Raises NotParked and what the two kinds of redrive raise."""
    events = ParkedAnywhere(settings, IN_POSTGRES, IN_TABLES)

    async def of_subscribers(which: Which) -> list[MessagesOutcome]:
        async with open_dead_letters(settings, SUBSCRIPTIONS) as letters:
            return await letters.redrive(which, dry_run=dry_run)

    return await _both(asked, lambda selection: events.redrive(selection, dry_run=dry_run), of_subscribers)


async def discard(settings: Settings, asked: Asked, *, force: bool, dry_run: bool) -> list[Result]:
    """Give it up. Raises NotParked and what the two kinds of discard raise."""
    events = ParkedAnywhere(settings, IN_POSTGRES, IN_TABLES)

    async def of_subscribers(which: Which) -> list[MessagesOutcome]:
        async with open_dead_letters(settings, SUBSCRIPTIONS) as letters:
            return await letters.discard(which, dry_run=dry_run)

    return await _both(asked, lambda selection: events.discard(selection, force=force, dry_run=dry_run), of_subscribers)


async def _both(
    asked: Asked,
    of_projections: Callable[[Selection], Awaitable[list[EventsOutcome]]],
    of_subscribers: Callable[[Which], Awaitable[list[MessagesOutcome]]],
) -> list[Result]:
    results: list[Result] = []
    missing: list[Exception] = []
    try:
        if selection := asked.of_projections:
            results += [_of_events(outcome) for outcome in await of_projections(selection)]
    except NotParked as error:
        missing.append(error)
    try:
        if (which := asked.of_subscribers) is not None:
            results += [_of_messages(outcome) for outcome in await of_subscribers(which)]
    except NothingParked as error:
        missing.append(error)
    if missing and not results:
        raise missing[0]
    return results


def _of_events(outcome: EventsOutcome) -> Result:
    whose = f"{outcome.held} in {outcome.held.projection}"
    return Result(_sentence(whose, outcome), outcome_as_dict(outcome), outcome.left)


def _of_messages(outcome: MessagesOutcome) -> Result:
    return Result(_sentence(f"{outcome.what} in {outcome.subscriber}", outcome), asdict(outcome), outcome.left)


def _sentence(whose: str, outcome: EventsOutcome | MessagesOutcome) -> str:
    counts = ((outcome.applied, "applied"), (outcome.discarded, "discarded"), (outcome.left, "still parked"))
    done = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing left to do"
    return f"{whose}: {done}" + (f": {outcome.reason}" if outcome.reason else "")


def first_of(found: Sequence[Parked], asked: Asked) -> Parked:
    """The first of `found`. Raises NotParked."""
    if not found:
        raise NotParked(f"{asked.of_projections or asked.of_subscribers} is not parked")
    return found[0]
