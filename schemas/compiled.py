"""Avro writers and readers made from a schema: one Python function each, from an object to bytes and back.

fastavro writes and reads dicts, which our events are not. The functions made here take a fifth, reading half, of the
time that fastavro and the copies take together, for the same bytes (tests/schemas/test_compiled.py). They know what
our schemas use: string, uuid, int, long, bytes, records, arrays, and nullable fields that no event has.
Encoding: Avro specification 1.11, "Binary Encoding".
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct, convert

from schemas.avro import Schema

Write = Callable[[bytes, Any], bytes]
Read = Callable[[bytes, int], tuple[Any, int]]

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


def _long(data: bytes, at: int) -> tuple[int, int]:
    """The long at `at`, and where it ends. Raises ValueError beyond 64 bits, IndexError at the end of the bytes."""
    rest, shift = 0, 0
    while (byte := data[at]) & 0x80 and shift < 63:
        rest |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
    rest |= byte << shift
    if rest > 2**64 - 1:
        raise ValueError("a number is beyond Avro's long")
    return (rest >> 1) ^ -(rest & 1), at + 1


def _size(data: bytes, at: int) -> tuple[int, int]:
    """The long at `at`, and where it ends, if it can be a length. Raises what `_long` does."""
    size, at = _long(data, at)
    if size < 0:
        raise ValueError("a length is negative")
    return size, at


def compile_writer(schema: Schema, kind: type[Struct], blob: Callable[[Any], bytes] | None = None) -> Write:
    """A function that gives the Avro record of `schema` for an object of the struct `kind`, behind what is given.

    A bytes field is written by `blob`, and empty when it is None. A field that `kind` lacks is written as null.
    Raises ValueError for a schema that needs more than that; the function raises ValueError or OverflowError.
    """
    writer = _Writer()
    for name, type_ in _members(schema, kind):
        writer.write(type_, f"record.{name}") if name else writer.part("longs[0]")
    writer.finish()
    write: Write = writer.compiled({"longs": _longs, "blob": blob})
    return write


def compile_reader(
    schema: Schema, kind: type[Struct], inner: Mapping[str, type[Struct]], blob: Callable[[bytes], Any] | None = None
) -> Read:
    """The way back: a function from bytes, and where in them the record starts, to the object and where it ends.

    That end lies behind the bytes' when they were cut off. `inner` has the structs of the records inside, `blob`
    reads a bytes field that is not empty. The function raises ValueError or IndexError at what is no such record.
    """
    reader = _Reader(inner)
    reader.line(f"return {reader.record(_members(schema, kind), kind)}, at")
    kinds = {**inner, kind.__name__: kind}
    read: Read = reader.compiled(
        {**kinds, "long": _long, "size": _size, "UUID": UUID, "convert": convert, "blob": blob}
    )
    return read


def _members(schema: Schema, kind: type[Struct]) -> list[tuple[str, Any]]:
    """The names and types of a record's fields; a name is empty when `kind` lacks the field and null will do."""
    known, members = kind.__struct_fields__, []
    for field in schema["fields"]:
        name, type_ = field["name"], field["type"]
        if name not in known and type_ != ["null", "string"]:
            raise ValueError(f"{kind.__name__} has no {name}, which its schema needs")
        members.append((name if name in known else "", type_))
    return members


class _Source:
    """The text of a function, as it grows."""

    def __init__(self, head: str) -> None:
        self._lines, self._indent, self._names = [head], " ", 0

    def line(self, statement: str) -> None:
        """Add a statement; what follows one that ends in a colon is inside it, until `end`."""
        self._lines.append(self._indent + statement)
        if statement.endswith(":"):
            self._indent += " "

    def end(self) -> None:
        """End the innermost statement with a colon."""
        self._indent = self._indent[:-1]

    def named(self, value: str) -> str:
        """A new variable with the value of an expression."""
        self._names += 1
        self.line(f"value{self._names} = {value}")
        return f"value{self._names}"

    def compiled(self, names: dict[str, Any]) -> Any:
        """The function, which sees `names`."""
        exec("\n".join(self._lines), names)
        return names["made"]


class _Writer(_Source):
    """A function whose result is joined from parts."""

    def __init__(self) -> None:
        super().__init__("def made(before, record):")
        self._parts: list[str] = []
        self.line("out = [before]")

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
                record = self.named(value)
                for member in members:
                    self.write(member["type"], f"{record}.{member['name']}")
            case {"type": "array", "items": items}:
                self._array(items, self.named(value))
            case _:
                raise ValueError(f"nothing here writes Avro's {type_}")

    def part(self, expression: str) -> None:
        """Add the bytes of `expression` to the result."""
        self._parts.append(expression)

    def finish(self) -> None:
        """Return the result."""
        self._add_parts()
        self.line("return b''.join(out)")

    def _array(self, items: Any, array: str) -> None:
        # One block of all items, if there are any, and the empty block that ends an array.
        self._add_parts()
        self.line(f"if {array}:")
        self.line(f"out.append(longs[len({array})])")
        self.line(f"for item in {array}:")
        self.write(items, "item")
        self._add_parts()
        self.end()
        self.end()
        self.part("longs[0]")

    def _sized(self, value: str) -> None:
        name = self.named(value)
        self._parts += (f"longs[len({name})]", name)

    def _add_parts(self) -> None:
        if self._parts:
            self.line(f"out += ({', '.join(self._parts)},)")
        self._parts = []


class _Reader(_Source):
    """A function that goes through `data` from `at`."""

    def __init__(self, inner: Mapping[str, type[Struct]]) -> None:
        super().__init__("def made(data, at):")
        self._inner = inner

    def record(self, members: list[tuple[str, Any]], kind: type[Struct]) -> str:
        """Read the fields; the result is an expression that makes the object."""
        values = {name: self._read(type_) for name, type_ in members}
        return self.named(f"{kind.__name__}({', '.join(values[name] for name in kind.__struct_fields__)})")

    def _read(self, type_: Any) -> str:
        match type_:
            case "int" | "long":
                return self._long("long")
            case "string":
                return self._sized("data[at:end].decode()")
            case {"logicalType": "uuid"}:
                return self._sized("convert(data[at:end].decode(), UUID)")
            case "bytes":
                return self._sized("blob(data[at:end]) if end > at else None")
            case ["null", "string"]:
                self.line(f"if ('null', 'string')[{self._long('size')}] == 'string':")
                self._sized("data[at:end].decode()")
                self.end()
                return ""
            case {"type": "record", "name": name}:
                return self.record(_members(type_, self._inner[name]), self._inner[name])
            case {"type": "array", "items": items}:
                return self._array(items)
        raise ValueError(f"nothing here reads Avro's {type_}")

    def _array(self, items: Any) -> str:
        # Blocks of items, each with their number before it; a negative one has the block's size in bytes after it.
        array = self.named("[]")
        self.line("while True:")
        count = self._long("long")
        self.line(f"if not {count}: break")
        self.line(f"if {count} < 0: {count}, at = -{count}, long(data, at)[1]")
        self.line(f"for _ in range({count}):")
        self.line(f"{array}.append({self._read(items)})")
        self.end()
        self.end()
        return f"tuple({array})"

    def _sized(self, value: str) -> str:
        self.line(f"end = {self._long('size')} + at")
        name = self.named(value)
        self.line("at = end")
        return name

    def _long(self, otherwise: str) -> str:
        """A long of one or two bytes that is not negative; read by the function `otherwise` when it is more."""
        name = self.named("data[at]")
        self.line(f"if not {name} & 0x81: {name}, at = {name} >> 1, at + 1")
        self.line(f"elif {name} & 1 or data[at + 1] & 0x80: {name}, at = {otherwise}(data, at)")
        self.line(f"else: {name}, at = ({name} & 0x7F | data[at + 1] << 7) >> 1, at + 2")
        return name
