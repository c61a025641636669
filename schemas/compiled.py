"""Avro writers made from a schema: one Python function that writes an object by its attributes.

fastavro writes dicts, which our events are not. The functions made here take a fifth of the time that the copies and
fastavro take together, and give the same bytes (tests/schemas/test_compiled.py). They know what our schemas use:
string, uuid, int, long, bytes, records, arrays, and nullable fields that no event has.
Encoding: Avro specification 1.11, "Binary Encoding".
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from schemas.avro import Schema

Write = Callable[[Any], bytes]

_LEAST, _MOST = -(2**63), 2**63 - 1
# Lengths, quantities and most prices are below; the encoding of what is not is worked out each time.
_PREPARED = 4096


class _Longs(dict[int, bytes]):
    """Avro's long: zigzag, then seven bits a byte, low ones first. Raises OverflowError beyond 64 bits."""

    def __missing__(self, number: int) -> bytes:
        if not _LEAST <= number <= _MOST:
            raise OverflowError(f"{number} is beyond Avro's long")
        rest, encoded = (number << 1) ^ (number >> 63), bytearray()
        while rest > 0x7F:
            encoded.append(rest & 0x7F | 0x80)
            rest >>= 7
        encoded.append(rest)
        return bytes(encoded)


_longs = _Longs()
_longs.update({number: _longs[number] for number in range(_PREPARED)})


def compile_writer(schema: Schema, kind: type[Any], header: bytes = b"", blob: Write | None = None) -> Write:
    """A function that gives `header` and the Avro record of `schema` for an object of the dataclass `kind`.

    A bytes field is written by `blob`, and empty when it is None. A field that `kind` lacks is written as null.
    Raises ValueError for a schema that needs more than that; the function raises ValueError or OverflowError.
    """
    source, known = _Source(), {field.name for field in fields(kind)}
    source.part(repr(header))
    for field in schema["fields"]:
        if field["name"] in known:
            source.write(field["type"], f"record.{field['name']}")
        elif field["type"][0] == "null":
            source.part("longs[0]")
        else:
            raise ValueError(f"{kind.__name__} has no {field['name']}, which its schema needs")
    return source.compiled({"longs": _longs, "blob": blob})


class _Source:
    """The text of a function: statements, and the parts that wait to be added to what it returns."""

    def __init__(self) -> None:
        self._lines = ["def write(record):", " out = []"]
        self._indent, self._names = " ", 0
        self._parts: list[str] = []

    def write(self, type_: Any, value: str) -> None:
        """Write the expression `value` as `type_`."""
        match type_:
            case "int" | "long":
                self.part(f"longs[{value}]")
            case "string":
                self._sized(f"{value}.encode()")
            case {"logicalType": "uuid"}:
                self._sized(f"str({value}).encode()")
            case "bytes":
                self._sized(f"b'' if {value} is None else blob({value})")
            case {"type": "record", "fields": members}:
                record = self._named(value)
                for member in members:
                    self.write(member["type"], f"{record}.{member['name']}")
            case {"type": "array", "items": items}:
                self._array(items, self._named(value))
            case _:
                raise ValueError(f"nothing here writes Avro's {type_}")

    def part(self, expression: str) -> None:
        """Add the bytes of `expression` to what is returned."""
        self._parts.append(expression)

    def compiled(self, names: dict[str, Any]) -> Write:
        """The function, which sees `names`."""
        self._add_parts()
        self._line("return b''.join(out)")
        exec("\n".join(self._lines), names)
        write: Write = names["write"]
        return write

    def _array(self, items: Any, array: str) -> None:
        # One block of all items, if there are any, and the empty block that ends an array.
        self._add_parts()
        self._line(f"if {array}:")
        self._indent += " "
        self._line(f"out.append(longs[len({array})])")
        self._line(f"for item in {array}:")
        self._indent += " "
        self.write(items, "item")
        self._add_parts()
        self._indent = self._indent[:-2]
        self.part("longs[0]")

    def _sized(self, value: str) -> None:
        name = self._named(value)
        self._parts += (f"longs[len({name})]", name)

    def _named(self, value: str) -> str:
        self._names += 1
        self._line(f"value{self._names} = {value}")
        return f"value{self._names}"

    def _add_parts(self) -> None:
        if self._parts:
            self._line(f"out += ({', '.join(self._parts)},)")
        self._parts = []

    def _line(self, statement: str) -> None:
        self._lines.append(self._indent + statement)
