"""A codec without a registry, for tests of what has nothing to do with one."""

from schemas.avro import Schema
from schemas.codec import EVENT_NAMES, Codec


def local_codec() -> Codec:
    """A codec whose schema ids are 1, 2, 3 … in the order of `EVENT_NAMES`."""
    return Codec({name: index for index, name in enumerate(EVENT_NAMES, start=1)}, _nothing)


def _nothing(schema_id: int) -> Schema:
    raise KeyError(schema_id)
