"""Consumer groups, looked at and removed. aiokafka 0.14 can describe a group but not delete one by name."""

from collections.abc import Sequence

from aiokafka.errors import GroupIdNotFound, NoError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from eventlog.settings import Settings
from eventlog.topic_admin import admin_client


async def is_empty(settings: Settings, group: str) -> bool:
    """Whether no process is in `group`. Raises KafkaError."""
    async with admin_client(settings) as admin:
        (answer,) = await admin.describe_consumer_groups([group])
    ((_, _, _, _, _, members, *_),) = answer.groups
    return not members


async def delete(settings: Settings, groups: Sequence[str]) -> None:
    """Remove `groups` with their commits; those that are not there are fine. Raises KafkaError while one is in use."""
    async with admin_client(settings) as admin:
        for group in groups:
            coordinator = await admin.find_coordinator(group)
            answer = await admin._send_request(DeleteGroupsRequest([group]), coordinator)
            for name, code in answer.results:
                error = for_code(code)
                if error not in (NoError, GroupIdNotFound):
                    raise error(f"consumer group {name} was not removed")
