"""What a subscriber tells Prometheus."""

from service.metrics import Exposition, Family


class Metrics:
    """The metrics of one subscriber's process."""

    def __init__(self, subscriber: str) -> None:
        self.exposition = Exposition()
        make = Family(self.exposition, "orderlog_subscriber_", subscriber=subscriber)
        self.ready = make.gauge("ready", "1 when messages are taken in and tasks carried out, 0 while it waits")
        self.taken = make.counter("messages_taken", "Messages taken in")
        self.repeated = make.counter("messages_repeated", "Messages that came again and were passed over")
        self.parked = make.counter("messages_parked", "Messages set aside")
        self.published = make.counter("answers_published", "Events published in answer")
        self.batches = make.counter("batches", "Batches taken in")
        self.retries = make.counter("retries", "Attempts that failed and were made again", "cause")
        self.tasks = make.counter("tasks", "Attempts at tasks of the outbox, by how they ended", "outcome")
        for outcome in ("done", "later", "unavailable", "dead"):
            self.tasks.child(outcome=outcome)
        self.lag = make.gauge("lag_messages", "Messages that are not taken in yet", "topic", "partition")
        self.due = make.gauge("tasks_due", "Tasks of the outbox that are due and not done, up to the limit")
        self.held = make.gauge("parked_orders", "Orders with parked messages, of all partitions")
