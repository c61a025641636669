"""What a person can do something about: errors whose message is one line, for a terminal or a log."""


class Explained(Exception):
    """The message says what is wrong and what to do; no traceback is needed to understand it."""


class BadInput(Explained):
    """What was asked for cannot be done, however often it is tried; the message names the field and the fix."""
