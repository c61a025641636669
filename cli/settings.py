"""Where a command's settings come from: the environment, `.env`, and the stack that runs here."""

from eventlog.settings import Settings
from local_stack import run_state

_ENDPOINTS = (
    "kafka_bootstrap",
    "registry_url",
    "postgres_url",
    "command_api_host",
    "command_api_port",
    "query_api_host",
    "query_api_port",
    "worker_host",
    "worker_port",
    "sales_worker_port",
    "public_worker_port",
    "subscriber_host",
    "inventory_port",
    "order_process_port",
    "email_port",
    "mailbox_host",
    "mailbox_port",
    "mailbox_smtp_port",
    "smtp_host",
    "smtp_port",
    "partitions",
    "topic_prefix",
)


def load() -> Settings:
    """The settings as set. Raises pydantic.ValidationError."""
    return Settings()


def of_running_stack() -> Settings:
    """The settings as set; what is not set, as the stack of the data folder has it, if one runs.

    So that `orderlog log tail` needs no settings beside a running `orderlog up`.
    """
    settings = load()
    stack = run_state.running(settings.data_dir)
    if stack is None:
        return settings
    found = {name: stack.settings[name] for name in _ENDPOINTS if name in stack.settings}
    # A port that was set to 0 is any free one: the stack knows which it became.
    given = {
        name: value
        for name, value in settings.model_dump(include=settings.model_fields_set).items()
        if not (name.endswith("_port") and value == 0)
    }
    return Settings(**{**found, **given})
