"""`orderlog verify` as a person or a program runs it."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventlog.settings import Settings
from tests.projections.running import cli_told


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `orderlog verify VIEW --json` said, without its progress."""

    agrees: bool
    partitions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def differences(self) -> list[Mapping[str, Any]]:
        """The first difference of each partition that differs, in partition order."""
        return [one["difference"] for _, one in sorted(self.partitions.items()) if one["difference"]]

    @property
    def digests(self) -> dict[int, str]:
        """The digest of each partition's rows."""
        return {partition: one["found"] for partition, one in self.partitions.items()}


async def verdict(settings: Settings, view: str) -> Verdict:
    """Run it; its exit code must fit what it says."""
    code, out, err = await asyncio.to_thread(cli_told, settings, "verify", view, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines, err
    agrees = bool(lines[-1]["agrees"])
    assert code == (0 if agrees else 1)
    return Verdict(agrees, {one["partition"]: one for one in lines if "partition" in one})


async def differences(settings: Settings, view: str) -> list[Mapping[str, Any]]:
    """What differs, partition by partition."""
    return (await verdict(settings, view)).differences
