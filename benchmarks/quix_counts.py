"""The peer of the sales tables: quixstreams keeping one count per key in RocksDB, over the same log.

What it is given: nothing but where to read from, where its RocksDB is, and quiet. So it runs as its users' do: the
changelog topic on, a checkpoint (changelog, offsets, RocksDB) every 5 s and at the end, RocksDB and librdkafka as
quixstreams sets them. It decodes nothing, because counting needs no value. The barriers of the log, one a partition,
are counted too, as of an empty key: a filter before the count took half a microsecond of each event.

`python quix_counts.py BOOTSTRAP TOPIC COUNT` prints its events per second and exits. It imports nothing of
orderlog's, because quixstreams asks for an older pydantic and so has an environment of its own.
"""

import os
import sys
import tempfile
import time

from quixstreams import Application, State  # type: ignore[import-not-found,unused-ignore]


def main(bootstrap: str, topic_name: str, count: int) -> None:
    """Count `count` records of `topic_name` by key and print the rate, from the first one to the commit of the last."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-counts-{os.getpid()}",
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(),
        loglevel="ERROR",
    )
    topic = app.topic(topic_name, key_deserializer="bytes", value_deserializer="bytes")
    start = 0.0

    def add(value: bytes, state: State) -> int:
        nonlocal start
        start = start or time.perf_counter()
        total: int = state.get("count", 0) + 1
        state.set("count", total)
        return total

    app.dataframe(topic).apply(add, stateful=True)
    # It returns when all are counted and the last checkpoint is committed: counts in the changelog and in RocksDB.
    app.run(count=count, collect=False)
    print(f"\n{count / (time.perf_counter() - start)}", flush=True)  # noqa: T201 - it is what was asked for


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
