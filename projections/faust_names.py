"""What Faust calls the things of a generation in Kafka and on disk, so that they are found without an app."""

from collections.abc import Iterator
from pathlib import Path

from eventlog.identity import LogIdentity
from eventlog.settings import Settings
from projections.generations import Generation


def app_name(settings: Settings, projection: str) -> str:
    """The name of a projection's app; Faust adds the version."""
    return f"{settings.topic_prefix}projection-{projection}"


def group_of(settings: Settings, generation: Generation) -> str:
    """The consumer group of a generation's workers."""
    name = app_name(settings, generation.projection)
    # faust.types.settings: the first version's id is the bare name.
    return name if generation.number == 1 else f"{name}-v{generation.number}"


def table_of(projection: str, version: int, identity: LogIdentity) -> str:
    """The name of a projection's table: one left over from another log or another fold is not this one."""
    return f"{projection}-{version}-{identity.topic_id.hex[:8]}"


def changelog_of(settings: Settings, generation: Generation, table: str) -> str:
    """The changelog topic of a generation's table."""
    return f"{group_of(settings, generation)}-{table}-changelog"


def folders_of(settings: Settings, projection: str) -> Path:
    """Where the service's workers of a projection have their folders on this machine."""
    return settings.data_dir.absolute() / "projections" / projection


def building_folders(settings: Settings, generation: Generation) -> Path:
    """Where the workers that build a generation have theirs."""
    return folders_of(settings, generation.projection) / f"building-{generation.number}"


def data_in(folder: Path, generation: Generation) -> Path:
    """What a worker whose folder is `folder` keeps of a generation."""
    return folder / f"v{generation.number}"


def generations_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """The generations that a folder has data of."""
    for found in folder.glob("v*"):
        if found.name[1:].isdigit():
            yield int(found.name[1:]), found
