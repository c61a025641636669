"""Where a worker begins to read each partition: where its view is, and never where Kafka would guess."""

from collections.abc import Mapping


class PositionRefused(Exception):
    """The view's position is not in the log: the log lost records, or it is not the one the view was made from."""


def start_offsets(
    positions: Mapping[int, int], beginnings: Mapping[int, int], ends: Mapping[int, int]
) -> dict[int, int]:
    """{partition: offset to read first} for each partition of `beginnings`.

    `positions` are the view's next offsets; a partition without one is read from the log's beginning.
    `ends` are one past the last record. Raises PositionRefused, where Kafka's client would silently
    begin somewhere else.
    """
    starts = {}
    for partition, beginning in beginnings.items():
        position = positions.get(partition, beginning)
        if position < beginning:
            raise PositionRefused(
                f"partition {partition}: the view goes on at offset {position}, but the log begins at {beginning}: "
                "events that the view has not seen were deleted"
            )
        if position > ends[partition]:
            raise PositionRefused(
                f"partition {partition}: the view goes on at offset {position}, but the log ends at {ends[partition]}: "
                "this is an older copy of the log, or another one"
            )
        starts[partition] = position
    return starts
