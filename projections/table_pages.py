"""The internal page on which a worker shows the sums of its partitions to the query API."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from projections.table_view import Row, TableView, Write
from projections.table_worker import TableWorker


def serve_tables(app: Any, worker: TableWorker, view: TableView) -> None:
    """Add `/tables?partitions=…` and the view's own parameters to `app`.

    It answers {generation, next_offsets: {partition: offset}, rows: [[[key…], [sum…]], …]}: the sums over exactly
    the partitions asked for, each as it was at its offset; or 503 with a reason, when this worker has not all of
    them, or is recovering them; or 422.
    """

    @app.page("/tables")  # type: ignore[untyped-decorator]
    async def tables(web: Any, request: Any) -> Any:
        query = dict(request.query)
        try:
            partitions = [int(one) for one in query.pop("partitions", "").split(",")]
            bounds = view.bounds(query)
        except ValueError as error:
            return web.json({"reason": str(error)}, status=422)
        found = worker.rows(partitions, *bounds)
        if found is None:
            return web.json({"reason": "partitions are being assigned or recovered"}, status=503)
        # In a thread: going through a hundred thousand rows must not hold up events and heartbeats.
        rows = await asyncio.to_thread(_sums, view, [rows for _, rows in found.values()], query)
        offsets = {str(partition): offset for partition, (offset, _) in found.items()}
        body = json.dumps({"generation": worker.generation.number, "next_offsets": offsets, "rows": rows})
        return web.text(body, content_type="application/json")


def _sums(view: TableView, found: Iterable[Iterable[Write]], query: Mapping[str, str]) -> list[Row]:
    """What the rows of all partitions come to, added up."""
    total: dict[tuple[str | int, ...], list[int]] = {}
    for rows in found:
        for key, sums in view.read(rows, query):
            known = total.get(key)
            total[key] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]
    return list(total.items())
