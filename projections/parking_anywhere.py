"""Redrive and discard of whatever is parked, from outside of any worker.

Of views in Postgres it is done here; of views in tables it is asked of the workers that keep them, as their routing
table says, since nobody else can write those.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
from psycopg import sql

from eventlog.settings import Settings
from projections.generations import PUBLIC_SCHEMA
from projections.parking_pages import outcome_from_dict
from projections.parking_records import NotParked, Selection, select_parked
from projections.parking_redrive import DiscardRefused, Outcome, open_parking
from projections.table_view import TableView
from projections.view import View
from schemas.errors import BadInput, Explained
from service.database import Connection, connect

_PATIENCE_S = 60.0


class WorkerRefused(Explained):
    """The worker that keeps a table does not answer, or cannot do it now."""


class ParkedAnywhere:
    """What is parked of views `in_postgres` and `in_tables`; of the latter in the generation that is live."""

    def __init__(self, settings: Settings, in_postgres: Mapping[str, View], in_tables: Mapping[str, TableView]) -> None:
        self._settings = settings
        self._in_postgres = dict(in_postgres)
        self._in_tables = in_tables

    async def redrive(self, selection: Selection, *, dry_run: bool = False) -> list[Outcome]:
        """See Parking. Raises WorkerRefused besides; what was done before stays done."""
        return await self._work("redrive", selection, {"dry_run": dry_run})

    async def discard(self, selection: Selection, *, force: bool = False, dry_run: bool = False) -> list[Outcome]:
        """See Parking. Raises WorkerRefused besides; what was done before stays done."""
        return await self._work("discard", selection, {"force": force, "dry_run": dry_run})

    async def _work(self, what: str, selection: Selection, how: Mapping[str, bool]) -> list[Outcome]:
        here, elsewhere = await self._where(selection)
        outcomes: list[Outcome] = []
        if here:
            wanted = {part.projection for part in here}
            views = {name: view for name, view in self._in_postgres.items() if name in wanted}
            async with open_parking(self._settings, views) as parking:
                work: Any = {"redrive": parking.redrive, "discard": parking.discard}[what]
                for part in here:
                    outcomes += await work(part, **how)
        for url, part in elsewhere:
            outcomes += await _ask(f"{url}/parked/{what}", part, how)
        return outcomes

    async def _where(self, selection: Selection) -> tuple[list[Selection], list[tuple[str, Selection]]]:
        """The parts of `selection` that are done here, and those for which workers. Raises NotParked, WorkerRefused."""
        async with await connect(self._settings.postgres_url) as connection:
            parked = await select_parked(connection, selection)
            live = await select_parked(connection, replace(selection, live=True))
            elsewhere: list[tuple[str, Selection]] = []
            for name, view in self._in_tables.items():
                partitions = {event.partition for event in live if event.projection == name}
                for url, theirs in (await _workers(connection, view, partitions)).items():
                    elsewhere.append((url, replace(selection, projection=name, partitions=theirs)))
        here = sorted({event.projection for event in parked} - self._in_tables.keys())
        if not here and not elsewhere:
            raise NotParked(f"{selection} is not parked")
        return [replace(selection, projection=name) for name in here], elsewhere


async def _workers(connection: Connection, view: TableView, partitions: set[int]) -> dict[str, tuple[int, ...]]:
    """{URL: its partitions} of the workers that said last that they serve `partitions`. Raises WorkerRefused."""
    if not partitions:
        return {}
    query = sql.SQL("SELECT partition, url FROM {}").format(sql.Identifier(PUBLIC_SCHEMA, view.routing.name))
    urls: dict[int, str] = dict(await (await connection.execute(query)).fetchall())
    missing = partitions - urls.keys()
    if missing:
        raise WorkerRefused(
            f"only a worker of {view.name} can do that, and none has said that it serves partition {min(missing)}; "
            f"start one: orderlog project {view.name}"
        )
    found: dict[str, tuple[int, ...]] = {}
    for partition in sorted(partitions):
        found[urls[partition]] = (*found.get(urls[partition], ()), partition)
    return found


async def _ask(url: str, part: Selection, how: Mapping[str, bool]) -> list[Outcome]:
    """What the worker did. Raises NotParked, DiscardRefused, BadInput, WorkerRefused."""
    body = {
        "position": str(part.position) if part.position else None,
        "order_id": str(part.order_id) if part.order_id else None,
        "all": not (part.position or part.order_id),
        "partitions": part.partitions,
        **how,
    }
    who = f"the {part.projection} worker of partition {', '.join(map(str, part.partitions))}, at {url},"
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
            answer = await client.post(url, json=body)
            told = answer.json()
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise WorkerRefused(f"{who} does not answer: {reason}; is it running?") from error
    except ValueError as error:
        raise WorkerRefused(f"{who} answered {answer.status_code}, and not as a worker does") from error
    if answer.status_code == httpx.codes.OK:
        return [outcome_from_dict(one) for one in told["outcomes"]]
    refusals = {404: NotParked, 409: DiscardRefused, 422: BadInput}
    if refusal := refusals.get(answer.status_code):
        raise refusal(told["detail"])
    raise WorkerRefused(f"{who} cannot do it now: {told['detail']}")
