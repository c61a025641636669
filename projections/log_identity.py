"""Which log a database's positions belong to: positions of one log mean nothing in another."""

from eventlog.identity import LogIdentity
from schemas.errors import Explained
from service.database import Connection


class WrongLog(Explained):
    """The database holds positions of another log."""


async def require_log(connection: Connection, log: LogIdentity) -> None:
    """Remember that the database's positions are of `log`. Raises WrongLog when they are of another."""
    async with connection.transaction():
        insert = "INSERT INTO orderlog.logs (topic, cluster_id, topic_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
        await connection.execute(insert, [log.topic, log.cluster_id, log.topic_id])
        rows = await (await connection.execute("SELECT topic, cluster_id, topic_id FROM orderlog.logs")).fetchall()
        for other in (LogIdentity(*row) for row in rows):
            if other != log:
                raise WrongLog(
                    f"the database's positions are of {other}, not of {log}: give this log a database of its own, "
                    "or drop this one, from which nothing is lost: the views are made anew"
                )


async def known_log(connection: Connection) -> LogIdentity | None:
    """The log whose positions the database holds, None before the first worker has started."""
    row = await (await connection.execute("SELECT topic, cluster_id, topic_id FROM orderlog.logs")).fetchone()
    return LogIdentity(*row) if row else None
