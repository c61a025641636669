"""Every setting of orderlog, read from the environment (`ORDERLOG_…`) and from `.env`.

One class for all services, because they share the log: a command API and a projection that
disagree about the topic prefix or the partition count would be two systems.
"""

import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ADDRESS = r"[^<>@,;:\s\x00-\x1f\x7f-\U0010ffff]+@[^<>@,;:\s\x00-\x1f\x7f-\U0010ffff]+"
_COLLECTOR = re.compile(r"https?://(\[[^\]\s]+\]|[^\s/:]+)(:\d{1,5})?/\S*")
_SENDER = re.compile(rf"[^<>@,;:\x00-\x1f]*<{_ADDRESS}>|{_ADDRESS}")


class Settings(BaseSettings):
    """Settings with their defaults; `orderlog config` lists them. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="ORDERLOG_", env_file=".env", extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port] of the Kafka brokers")
    registry_url: str = Field("http://127.0.0.1:8081", description="base URL of the Apicurio registry")
    postgres_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/orderlog", description="libpq URL of the views' database"
    )
    topic_prefix: str = Field(
        "", description="put before every topic, group and writer id: several systems, one cluster"
    )
    partitions: int = Field(12, ge=1, le=1000, description="partitions of order.events; fixed for the life of the log")
    replication_factor: int = Field(1, ge=1, description="replicas of every topic; 3 in production")
    min_insync_replicas: int = Field(1, ge=1, description="replicas that must have an event before it is acknowledged")

    command_api_host: str = Field("127.0.0.1", description="address the command API listens on")
    command_api_port: int = Field(8000, ge=0, le=65535, description="port of the command API; 0 picks a free one")
    advertised_url: str = Field(
        "", description="URL other instances reach this command API at, each its own; default from host name and port"
    )
    query_api_host: str = Field("127.0.0.1", description="address the query API listens on")
    query_api_port: int = Field(8001, ge=0, le=65535, description="port of the query API; 0 picks a free one")
    worker_host: str = Field("127.0.0.1", description="address a projection worker's health port listens on")
    worker_port: int = Field(8002, ge=0, le=65535, description="health port of a projection worker; 0 picks a free one")
    sales_worker_port: int = Field(
        8003, ge=0, le=65535, description="port of a sales worker, for its health and its tables; 0 picks a free one"
    )
    public_worker_port: int = Field(
        8004, ge=0, le=65535, description="health port of the worker that publishes the public events; 0 picks one"
    )
    subscriber_host: str = Field("127.0.0.1", description="address the subscribers listen on")
    inventory_port: int = Field(8005, ge=0, le=65535, description="port of the inventory service; 0 picks a free one")
    order_process_port: int = Field(
        8006, ge=0, le=65535, description="health port of the order process manager; 0 picks a free one"
    )
    subscriber_port: int = Field(
        0, ge=0, le=65535, description="port of a subscriber that has none of its own; 0 picks a free one"
    )
    email_port: int = Field(8007, ge=0, le=65535, description="health port of the email service; 0 picks a free one")
    worker_advertised_url: str = Field(
        "", description="URL the query API reaches this sales worker at; default from host and port"
    )

    dashboard_urls: str = Field(
        "",
        description="name=URL,… of what the dashboard asks, such as orders=http://host:8002; a name may have several; "
        "default from hosts and ports",
    )

    max_body_bytes: int = Field(
        1_048_576, ge=1024, description="larger request bodies are refused with 413, and so are lines of bulk requests"
    )
    max_batch_commands: int = Field(500, ge=1, description="commands decided and appended as one batch of a partition")
    max_queued_commands: int = Field(5_000, ge=1, description="commands that may wait for a partition; more get 503")
    max_requests_at_once: int = Field(
        1_000, ge=1, description="requests that a command API serves at once; others wait for their turn"
    )
    max_requests_waiting: int = Field(20_000, ge=0, description="requests that may wait for their turn; more get 503")
    request_wait_s: float = Field(5.0, gt=0, description="longest a request waits for its turn; then 503")
    max_commands_in_flight: int = Field(
        10_000, ge=1, description="commands of one process that may be under way; more get 503"
    )
    cached_orders: int = Field(
        100_000, ge=1, description="orders that a command API keeps in memory; the others are in its store on disk"
    )
    election_wait_s: float = Field(
        3.0, ge=0, description="longest a command waits for its partition to have an owner; then 503"
    )
    group_session_s: float = Field(
        6.0, ge=1, description="a command API that was not heard of for so long loses its partitions"
    )
    hand_over_s: float = Field(
        10.0, ge=0, description="longest a command API that was told to stop serves on until others have taken over"
    )
    max_bulk_commands: int = Field(
        2_000, ge=1, description="commands of one bulk request that may be under way; then it is read no further"
    )
    idempotency_keep_s: float = Field(
        604_800.0, gt=0, description="how long a repeat of an Idempotency-Key gets the first answer; 7 days"
    )
    produce_deadline_s: float = Field(
        10.0, gt=0, description="after it an append's outcome is unknown: re-elect, replay"
    )
    barrier_every_s: float = Field(
        21_600.0,
        gt=0,
        description="an idle partition's writer renews its barrier this often; the broker forgets in a day",
    )
    command_deadline_s: float = Field(15.0, gt=0, description="longest a client waits for a command's answer")
    position_wait_s: float = Field(5.0, ge=0, description="longest a query waits for Orderlog-Min-Position")

    stuck_after_s: float = Field(
        120.0, gt=0, description="a projection whose view stands still for so long, with events ahead, ends its process"
    )
    assignment_within_s: float = Field(
        90.0, gt=0, description="a projection without partitions and events for so long, after a rebalance, ends too"
    )
    slow_after_s: float = Field(30.0, gt=0, description="a projection is slow when an event waits for longer")
    watch_every_s: float = Field(5.0, gt=0, description="how often a projection's watchdog looks")
    start_wait_s: float = Field(
        60.0,
        gt=0,
        lt=90,
        description="longest a projection waits for Postgres when it starts or gets partitions; then its process ends",
    )
    max_parked_orders: int = Field(
        1_000, ge=1, description="a projection stops rather than park more orders of a partition: it is hardly them"
    )

    keep_retired_s: float = Field(
        259_200.0, ge=0, description="how long the generation that a rebuild replaced is kept for --rollback; 3 days"
    )
    stats_wait_s: float = Field(
        15.0, ge=0, description="longest a query waits for the sales tables while workers change over; then 503"
    )

    command_url: str = Field(
        "", description="URL the order process manager sends commands to; default from the command API's host and port"
    )
    order_timeout_s: float = Field(
        300.0, gt=0, description="an order whose stock nobody has answered for in this time is rejected"
    )
    subscriber_batch: int = Field(
        500, ge=1, description="messages a subscriber takes at once, in one database transaction"
    )
    inbox_keep_s: float = Field(
        2_678_400.0,
        gt=0,
        description="how long a subscriber remembers what it took in; 31 days, longer than its topics keep anything",
    )
    max_tasks_due: int = Field(
        10_000, ge=1, description="a subscriber takes nothing more in while so many mails or commands of its are due"
    )
    smtp_host: str = Field("127.0.0.1", description="mail server of the email service")
    smtp_port: int = Field(1025, ge=1, le=65535, description="its port")
    smtp_security: str = Field(
        "none", pattern="^(none|starttls|tls)$", description="how the connection to the mail server is secured"
    )
    smtp_username: str = Field("", description="login at the mail server; none without")
    smtp_password: str = Field("", repr=False, description="its password")
    mail_from: str = Field(
        "orderlog <orders@example.com>",
        description="sender of the mails: an address, or a name and the address in <>",
    )
    mails_per_second: float = Field(50.0, ge=0.2, description="mails an email service sends at most")
    mail_attempts: int = Field(
        12, ge=1, description="a mail that failed so often is a dead letter; 12 times take over half an hour"
    )
    mailbox_host: str = Field("127.0.0.1", description="address the local mailbox listens on")
    mailbox_port: int = Field(8025, ge=0, le=65535, description="port of the mailbox's page; 0 picks a free one")
    mailbox_smtp_port: int = Field(
        1025, ge=0, le=65535, description="port that the mailbox takes mails on; 0 picks a free one"
    )

    data_dir: Path = Field(Path(".orderlog"), description="data, logs and run files of the embedded stack")
    cache_dir: Path | None = Field(
        None, description="downloaded Kafka and registry; default is the user's cache folder"
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="console for people, json for machines")
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="least severe level that is logged"
    )

    traces_url: str = Field(
        "",
        description="OTLP/HTTP address that traces are sent to, as http://127.0.0.1:4318/v1/traces; empty: no traces",
    )
    traces_share: float = Field(
        1.0, ge=0, le=1, description="share of requests traced, of those that come without a trace; 1 is all"
    )

    @field_validator("traces_url")
    @classmethod
    def _is_a_collector(cls, given: str) -> str:
        if given and not _COLLECTOR.fullmatch(given):
            raise ValueError("write the address with its path, as http://127.0.0.1:4318/v1/traces, or nothing")
        return given

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, given: str) -> str:
        if not _SENDER.fullmatch(given):
            raise ValueError("write an address in ASCII, or a name without any of @,:; and then the address in <>")
        return given

    @field_validator("dashboard_urls")
    @classmethod
    def _are_places(cls, given: str) -> str:
        for place in filter(None, given.split(",")):
            name, _, url = place.partition("=")
            if not name.strip() or not url.strip().startswith(("http://", "https://")):
                raise ValueError(f"write name=URL, and a comma before the next, not {place.strip()!r}")
        return given

    def dashboard_places(self) -> list[tuple[str, str]]:
        """(name, URL) of each of `dashboard_urls`."""
        parts = [place.partition("=") for place in self.dashboard_urls.split(",") if place]
        return [(name.strip(), url.strip()) for name, _, url in parts]

    def worker_port_of(self, projection: str) -> int:
        """The port that a worker of `projection` listens on."""
        ports = {"sales": self.sales_worker_port, "public": self.public_worker_port}
        return ports.get(projection, self.worker_port)

    def topic(self, name: str) -> str:
        """The physical name of the catalogue's topic `name`."""
        return self.topic_prefix + name

    def subscriber_port_of(self, subscriber: str) -> int:
        """The port that `subscriber` listens on."""
        return int(getattr(self, f"{subscriber}_port", self.subscriber_port))
