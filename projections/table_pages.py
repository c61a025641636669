"""The internal pages of a worker: the sums of its partitions for the query API, their rows for `orderlog verify`."""

import asyncio
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from aiohttp import web as http

from projections.table_view import Row, TableView, Write
from projections.table_worker import TableWorker

LENGTHS = ">II"
"""How a row of /rows begins: how many bytes its key and its value have; both 0 after the last row."""

_NOT_THE_VIEWS = (b"\x00", b"__faust")
_ROWS_AT_ONCE = 2_000


def serve_tables(app: Any, worker: TableWorker, view: TableView) -> None:
    """Add `/tables?partitions=…` and the view's own parameters to `app`.

    It answers {generation, next_offsets: {partition: offset}, rows: [[[key…], [sum…]], …]}: the sums over exactly
    the partitions asked for, each as it was at its offset; or 503 with a reason, when this worker has not all of
    them, or is recovering them; or 422.

    `/rows?partition=…` streams all rows of one partition as they are at this moment: a line of JSON {generation,
    next_offset}, then for each row its lengths (see LENGTHS), key and value.
    """

    app.web.web_app.router.add_get("/rows", lambda request: _rows(worker, request))

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


async def _rows(worker: TableWorker, request: http.Request) -> http.StreamResponse:
    partition = request.query.get("partition", "")
    if not partition.isdecimal():
        return http.json_response({"reason": f"partition is a number, not {partition!r}"}, status=422)
    found = worker.rows([int(partition)], b"\x01", b"\xff")
    if found is None:
        return http.json_response({"reason": "partitions are being assigned or recovered"}, status=503)
    next_offset, rows = found[int(partition)]
    answer = http.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    await answer.prepare(request)
    about = {"generation": worker.generation.number, "next_offset": next_offset}
    await answer.write(json.dumps(about).encode() + b"\n")
    # In a thread, and piece by piece: neither events and heartbeats nor memory know of it.
    while piece := await asyncio.to_thread(_piece, rows):
        await answer.write(piece)
    await answer.write(struct.pack(LENGTHS, 0, 0))
    return answer


def _piece(rows: Iterator[Write]) -> bytes:
    return b"".join(
        struct.pack(LENGTHS, len(key), len(value)) + key + value
        for key, value in islice((row for row in rows if not row[0].startswith(_NOT_THE_VIEWS)), _ROWS_AT_ONCE)
    )
