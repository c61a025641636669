"""From what was gathered to HTML: the templates, their filters, and the headers of every page."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from query_side.dashboard.shapes import SPARK_HEIGHT, SPARK_WIDTH, in_words

# Nothing from elsewhere and nothing inline. Forms must tell their origin, by which actions are checked.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
PAGES = (
    ("projections", "Projections", "/dashboard"),
    ("rebuild", "Rebuild", "/dashboard/rebuild"),
    ("parked", "Parked", "/dashboard/parked"),
    ("orders", "Orders", "/dashboard/orders"),
    ("write-side", "Write side", "/dashboard/write-side"),
    ("backbone", "Backbone", "/dashboard/backbone"),
)
_UNKNOWN = "–"


def page(template: str, current: str, status: int = 200, **shown: Any) -> Response:
    """A whole page; `current` is its place in the navigation."""
    about = {"pages": PAGES, "current": current, "now": datetime.now(UTC)}
    return HTMLResponse(_TEMPLATES.get_template(template).render({**about, **shown}), status, HEADERS)


def fragment(template: str, shown: Mapping[str, Any]) -> str:
    """The part of a page that is alive."""
    return _TEMPLATES.get_template(template).render(shown)


def number(value: float | None) -> str:
    """For people: with thousands set off, and a decimal where it tells something."""
    if value is None:
        return _UNKNOWN
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """A duration in seconds, roughly."""
    if value is None:
        return _UNKNOWN
    return "0 s" if value == 0 else in_words(timedelta(seconds=value))


def clock(at: datetime) -> str:
    """A time for people, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def instant(at: int) -> str:
    """A number of seconds as a time for people."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def as_json(value: Any) -> str:
    """A value for people who read JSON, and for an attribute."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def brief_json(value: Any) -> str:
    """A value in a line."""
    return _UNKNOWN if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


_TEMPLATES = Environment(
    loader=PackageLoader("query_side.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    number=number, seconds=seconds, clock=clock, instant=instant, as_json=as_json, brief=brief_json
)
_TEMPLATES.globals.update(spark_width=SPARK_WIDTH, spark_height=SPARK_HEIGHT)
