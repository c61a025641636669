"""Progress of long work on the terminal: steps as lines, downloads as bars with rate and time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from local_stack.progress import Advance


class OnConsole:
    """local_stack.progress.Progress on a rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Print the step."""
        self._console.print(f"… {text}", highlight=False)

    @contextmanager
    def download(self, name: str, total_bytes: int) -> Iterator[Advance]:
        """Show a bar while the download lasts; without a terminal, one line."""
        if not self._console.is_terminal:
            self.step(f"downloading {name}, {total_bytes / 2**20:.0f} MB")
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Progress(
            *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=self._console, transient=True
        ) as bar:
            task = bar.add_task(f"downloading {name}", total=total_bytes or None)
            yield lambda size: bar.advance(task, size)
