"""Kafka's jars and the registry: fetched once per user, checked against the committed SHA-256, then offline.

`artifacts.lock.toml` (jgo's lock file; coordinates and digests, no addresses) is made by
`python -m local_stack.downloads`, when a version is to change.
"""

import fcntl
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import requests
from jgo.env import LockFile
from jgo.env._lockfile import LockedDependency, compute_sha256
from jgo.maven import MavenContext, PythonResolver

from local_stack.progress import Progress
from schemas.errors import Explained

_LOCK = Path(__file__).with_name("artifacts.lock.toml")
KAFKA, LOGGING = "org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36"
_REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.3", "tar.gz", "all")
_TIMEOUT_S = 60


class DownloadFailed(Explained):
    """An artefact could not be had, or is not the one that was locked; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where the downloaded parts are."""

    kafka_jars: tuple[Path, ...]
    registry_home: Path


def ensure_artifacts(cache_dir: Path | None, progress: Progress) -> Artifacts:
    """Everything in the lock file, downloaded where it is missing. Raises DownloadFailed."""
    cache = cache_dir or Path(platformdirs.user_cache_dir("orderlog"))
    jars: list[Path] = []
    home = cache / "missing"
    for locked in LockFile.load(_LOCK).dependencies:
        place = _place(locked, cache)
        if not place.exists():
            with _turn(cache):
                _ensure(locked, place, progress)
        if locked.packaging == "jar":
            jars.append(place)
        else:
            home = place
    return Artifacts(tuple(jars), home)


def _place(locked: LockedDependency, cache: Path) -> Path:
    # Named by its digest: another checkout with another lock finds or fetches its own.
    name = f"{locked.artifactId}-{locked.version}-{locked.sha256[:12]}"
    return cache / "jars" / f"{name}.jar" if locked.packaging == "jar" else cache / name


@contextmanager
def _turn(cache: Path) -> Iterator[None]:
    """Stacks that start at the same time for the first time take turns: the second finds what the first has fetched."""
    with (_made(cache) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure(locked: LockedDependency, place: Path, progress: Progress) -> None:
    if place.exists():
        return
    if locked.packaging == "jar":
        _fetch(locked, place, progress)
    else:
        _fetch_unpacked(locked, place, progress)


def _fetch_unpacked(locked: LockedDependency, home: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as temporary:
        archive = Path(temporary) / "archive.tar.gz"
        _fetch(locked, archive, progress)
        with tarfile.open(archive) as tar:
            # Python before 3.11.4 has no filters; what is unpacked is what was locked, by its digest.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(Path(temporary) / "unpacked")
        (Path(temporary) / "unpacked").replace(home)


def _fetch(locked: LockedDependency, target: Path, progress: Progress) -> None:
    name = f"{locked.artifactId} {locked.version}"
    resolver = PythonResolver(progress_callback=lambda _, total: progress.download(name, total))
    with tempfile.TemporaryDirectory(dir=_made(target.parent)) as temporary:
        context = MavenContext(resolver=resolver, repo_cache=Path(temporary), timeout=_TIMEOUT_S)
        component = context.project(locked.groupId, locked.artifactId).at_version(locked.version)
        try:
            fetched = component.artifact(locked.classifier or "", locked.packaging).resolve()
        except (requests.RequestException, RuntimeError) as error:
            raise DownloadFailed(
                f"cannot download {name}: the first start needs the network ({_brief(error)})"
            ) from error
        if (found := compute_sha256(fetched)) != locked.sha256:
            raise DownloadFailed(f"{name} arrived with SHA-256 {found[:12]}…, not {locked.sha256[:12]}…; try again")
        Path(fetched).replace(target)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _brief(error: Exception) -> str:
    return (
        type(error).__name__ if isinstance(error, requests.RequestException) else str(error).partition(" in remote")[0]
    )


def _write_lock() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(temporary), timeout=_TIMEOUT_S)
        wanted = [context.create_dependency(coordinate) for coordinate in (KAFKA, LOGGING)]
        given, transitive = context.resolver.resolve(wanted)
        lock = LockFile.from_resolved_dependencies([*given, *transitive])
        group, name, version, packaging, classifier = _REGISTRY
        archive = context.project(group, name).at_version(version).artifact(classifier, packaging).resolve()
        lock.dependencies.append(LockedDependency(group, name, version, packaging, classifier, compute_sha256(archive)))
        lock.save(_LOCK)


if __name__ == "__main__":
    _write_lock()
