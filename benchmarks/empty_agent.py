"""The peer of the live view: a stock Faust agent that reads the same log and does nothing.

`python -m benchmarks.empty_agent BOOTSTRAP TOPIC COUNT` prints its events per second and exits.
"""

import os
import sys
import tempfile
import time

import faust


def main(bootstrap: str, topic_name: str, count: int) -> None:
    """Read `count` records of `topic_name` and print the rate from the first to the last."""
    app = faust.App(
        f"empty-agent-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        datadir=tempfile.mkdtemp(),
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(topic_name, value_serializer="raw", key_serializer="raw")

    @app.agent(topic)  # type: ignore[untyped-decorator]  # Faust has no types
    async def nothing(stream: faust.StreamT) -> None:
        seen, start = 0, 0.0
        async for _ in stream:
            seen += 1
            if seen == 1:
                start = time.perf_counter()
            if seen == count:
                print(f"\n{count / (time.perf_counter() - start)}", flush=True)  # noqa: T201 - on a line of its own, behind Faust's spinner
                os._exit(0)

    app.finalize()
    faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
