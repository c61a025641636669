"""The pieces of one sku, and what can happen to them. Pure."""

from typing import NamedTuple


class Level(NamedTuple):
    """Pieces of one sku: received = available + reserved + shipped, and none of these is ever negative.

    `unstocked` of the received are known only because they were shipped: nobody had told that they came in.
    """

    received: int = 0
    available: int = 0
    reserved: int = 0
    shipped: int = 0
    unstocked: int = 0

    def receive(self, pieces: int) -> "Level":
        """`pieces` came in; a negative number of them is missing, at most those that are available."""
        received, available, reserved, shipped, unstocked = self
        return Level(received + pieces, available + pieces, reserved, shipped, unstocked)

    def reserve(self, pieces: int) -> "Level":
        """At most the available `pieces` are an order's; a negative number of them is everybody's again."""
        received, available, reserved, shipped, unstocked = self
        return Level(received, available - pieces, reserved + pieces, shipped, unstocked)

    def ship(self, pieces: int) -> "Level":
        """`pieces` that nobody had reserved have left. Those that were not available must have come in untold."""
        untold = max(pieces - self.available, 0)
        return Level(
            received=self.received + untold,
            available=self.available + untold - pieces,
            reserved=self.reserved,
            shipped=self.shipped + pieces,
            unstocked=self.unstocked + untold,
        )

    def unship(self, pieces: int, unstocked: int = 0) -> "Level":
        """`pieces` came back or had not left at all, and `unstocked` of them had never been there."""
        return Level(
            received=self.received - unstocked,
            available=self.available + pieces - unstocked,
            reserved=self.reserved,
            shipped=self.shipped - pieces,
            unstocked=self.unstocked - unstocked,
        )
