"""The idempotency key of an order in a file: a function of its content, so that a second run doubles nothing."""

import sqlite3
from hashlib import blake2b
from typing import Self

from cli.order_import.orders import Order

_DIGEST_BYTES = 16
_NTH = "INSERT INTO seen VALUES (?, 0) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"


class Keys:
    """Keys of the orders of one file, in the order of the file.

    An order with an id of its own is the same order wherever it stands. Without one, two of the same content are two
    orders: the key then counts how often the content came before. Contents are counted in a temporary SQLite database,
    which keeps a few MB in memory and the rest on disk, so that a file may have any number of orders.
    """

    def __enter__(self) -> Self:
        self._seen = sqlite3.connect("", isolation_level=None)
        self._seen.execute("PRAGMA journal_mode = OFF")
        self._seen.execute("PRAGMA synchronous = OFF")
        self._seen.execute("PRAGMA cache_size = -32768")  # KiB
        self._seen.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        self._seen.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._seen.close()

    def of(self, order: Order) -> str:
        """The key; to be asked for once for each order."""
        digest = blake2b(order.body, digest_size=_DIGEST_BYTES)
        if order.named:
            return f"import-{digest.hexdigest()}"
        ((before,),) = self._seen.execute(_NTH, (digest.digest(),)).fetchall()
        return f"import-{digest.hexdigest()}-{before}" if before else f"import-{digest.hexdigest()}"
