"""How fast mails go out at most. Pure: whoever asks says what time it is."""


class Pace:
    """Turns at an even distance, at most `per_second` of them in a second; those that nobody took are lost."""

    def __init__(self, per_second: float) -> None:
        self._every_s = 1 / per_second
        self._next = float("-inf")

    def wait_s(self, now: float) -> float:
        """Take the next turn: in how many seconds it is. `now` is in seconds, of a clock that never goes back."""
        turn = max(now, self._next)
        self._next = turn + self._every_s
        return turn - now
