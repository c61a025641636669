"""The subscriber of echo.py on a Kafka client that never returns from a transaction, as was seen of librdkafka."""

import time
from typing import Any
from unittest.mock import patch

from confluent_kafka import Producer

from eventlog.settings import Settings
from subscribers import feed
from subscribers.bootstrap import run_subscription
from tests.subscribers.echo import ECHO


class Hanging(Producer):
    def send_offsets_to_transaction(self, *_arguments: Any) -> None:
        time.sleep(3_600)


if __name__ == "__main__":
    with patch.object(feed, "Producer", Hanging), patch.object(feed, "_HUNG_S", 1.0):
        run_subscription(ECHO, Settings())
