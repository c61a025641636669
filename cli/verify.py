"""`orderlog verify`: is a view what the log comes to?"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import settings
from cli.errors import FAILED
from cli.progress import Tell, counting

if TYPE_CHECKING:
    from eventlog.settings import Settings
    from projections.verifying.report import Report


def verify(
    view: Annotated[str | None, typer.Argument(help="orders or sales; all views without it")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="progress and results as JSON lines")] = False,
) -> None:
    """Fold the log independently and hold the result against a view's rows, by digest per partition.

    The view may serve and move meanwhile. Where it differs, the first order that does, in the log's order, is named,
    with the field, what was expected and what was found. Exit codes: 0 agrees, 1 differs, 2 wrong input.
    """
    from projections.verifying.verification import views_named

    given = settings.of_running_stack()
    with counting(as_json=as_json) as tell:
        found = [asyncio.run(_verified(given, name, tell, as_json=as_json)) for name in views_named(view)]
    if not all(found):
        raise typer.Exit(FAILED)


async def _verified(given: "Settings", view: str, tell: Tell, *, as_json: bool) -> bool:
    from projections.verifying.verification import Progress, verify

    def show(progress: Progress) -> None:
        tell(f"verify {progress.view}", progress.done, progress.total)

    began, reports = time.monotonic(), []
    async for report in verify(given, view, show):
        reports.append(report)
        if as_json:
            typer.echo(json.dumps({**asdict(report), "agrees": report.agrees}, default=str))
        elif not report.agrees:
            typer.echo(_told(report))
    took_s = time.monotonic() - began
    if as_json:
        typer.echo(json.dumps({"view": view, "agrees": all(one.agrees for one in reports), "seconds": took_s}))
    else:
        typer.echo(_summary(view, reports, took_s))
    return all(one.agrees for one in reports)


def _told(report: "Report") -> str:
    where = f"{report.view}, partition {report.partition} up to offset {report.next_offset}"
    return f"{where}: digest {report.found} instead of {report.expected}\n  {report.difference}"


def _summary(view: str, reports: "Sequence[Report]", took_s: float) -> str:
    wrong = sum(not one.agrees for one in reports)
    records, orders = sum(one.next_offset for one in reports), sum(one.orders for one in reports)
    verdict = f"differs in {wrong} of {len(reports)} partitions" if wrong else "agrees with the log"
    text = f"{view} {verdict}: {orders:,} orders, {records:,} records, {records / max(took_s, 1e-9):,.0f}/s"
    if parked := sum(one.parked for one in reports):
        text += f"\nnote: {parked} orders are parked and were compared as before that; see: orderlog dlq list"
    return text
