"""What an event changed about an order, field by field. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from query_side.history import Body

_ABOUT_EVERY_EVENT = frozenset({"version", "updated_at"})


@dataclass(frozen=True, slots=True)
class Change:
    """A field and its values; None where it is not there, before or after."""

    field: str
    before: Any
    after: Any


def changes(before: Body | None, after: Body) -> list[Change]:
    """What differs, in the order in which the order has its fields; of a line by its sku: `lines.TEA.quantity`."""
    old, new = dict(_flat(before or {})), dict(_flat(after))
    names = [*new, *(name for name in old if name not in new)]
    found = [Change(name, old.get(name), new.get(name)) for name in names]
    return [change for change in found if change.before != change.after]


def _flat(order: Body) -> Iterator[tuple[str, Any]]:
    for name, value in order.items():
        if name in _ABOUT_EVERY_EVENT:
            continue
        if name == "lines":
            for line in value:
                yield from ((f"lines.{line['sku']}.{part}", line[part]) for part in line if part != "sku")
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            yield name, value
