"""A thin client of the schema registry, by its Confluent-compatible API (Apicurio's `/apis/ccompat/v7`).

Only `take_export` uses Apicurio's own API: the other has no way to say a schema's id.
"""

import json
from collections.abc import Iterator
from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from schemas.avro import Schema
from schemas.errors import Explained

_TIMEOUT_S = 10.0
_IMPORT_S = 120.0
_IMPORT = "/apis/registry/v3/admin/import"
COMPATIBILITY = "FULL_TRANSITIVE"


class RegistryUnavailable(Explained):
    """The registry did not answer; the message names its address."""


class Incompatible(Explained):
    """The registry refuses a schema: readers of the other versions could not read it, or it theirs."""


class Registry:
    """The registry at `url`. Calls retry for `patience_s` seconds while it does not answer."""

    def __init__(self, url: str, patience_s: float = 30.0) -> None:
        self._url = url
        self._patience_s = patience_s
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/apis/ccompat/v7", timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def require_compatibility(self) -> None:
        """Have the registry hold every later version of every subject to FULL_TRANSITIVE."""
        self._call("PUT", "/config", {"compatibility": COMPATIBILITY}).raise_for_status()

    def compatibility(self) -> str:
        """The registry's global compatibility level."""
        answer = self._call("GET", "/config").raise_for_status().json()
        return str(answer.get("compatibilityLevel") or answer.get("compatibility"))

    def registered(self, subject: str, schema: Schema) -> int | None:
        """The id of `schema` under `subject`, None when it is not registered there."""
        answer = self._call("POST", f"/subjects/{subject}", {"schema": json.dumps(schema)})
        return None if answer.status_code == httpx.codes.NOT_FOUND else int(answer.raise_for_status().json()["id"])

    def register(self, subject: str, schema: Schema) -> int:
        """Register `schema` under `subject` and return its id; the same one when it is there already.

        Raises Incompatible with the registry's words.
        """
        answer = self._call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
        if answer.status_code == httpx.codes.CONFLICT:
            raise Incompatible(f"{subject}: {_message(answer)}")
        return int(answer.raise_for_status().json()["id"])

    def check(self, subject: str, schema: Schema) -> None:
        """Raise Incompatible when `schema` could not follow the versions that `subject` has, if any."""
        path = f"/compatibility/subjects/{subject}/versions"
        answer = self._call("POST", path, {"schema": json.dumps(schema)}, {"verbose": "true"})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return
        verdict = answer.raise_for_status().json()
        if not verdict["is_compatible"]:
            raise Incompatible(f"{subject}: {'; '.join(verdict.get('messages') or ['not compatible'])}")

    def schema(self, schema_id: int) -> Schema:
        """The schema of an id. Raises KeyError when the registry has none."""
        path = f"/schemas/ids/{schema_id}"
        answer = self._call("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            # One that has just started answers before it has read all of its store, and then knows no schema.
            self._require_read()
            answer = self._call("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise KeyError(schema_id)
        found: Schema = json.loads(answer.raise_for_status().json()["schema"])
        return found

    def versions(self, subject: str) -> list[tuple[int, Schema]]:
        """(version, schema) of all that a subject has, oldest first; empty when there is no such subject."""
        return [(int(one["version"]), json.loads(one["schema"])) for one in self._versions(subject)]

    def everything(self) -> list[tuple[int, str, int, str]]:
        """(id, subject, version, schema's text) of each version of each subject, by subject and version."""
        return [
            (int(one["id"]), str(subject), int(one["version"]), str(one["schema"]))
            for subject in sorted(self._call("GET", "/subjects").raise_for_status().json())
            for one in self._versions(subject)
        ]

    def take_export(self, archive: bytes) -> None:
        """Import a ZIP file as Apicurio exports it, under the content ids in it, beside what is there.

        Raises RegistryUnavailable, also when it is another registry, which has no such import.
        """
        headers = {"X-Registry-Preserve-ContentId": "true", "X-Registry-Preserve-GlobalId": "false"}
        try:
            answer = self._http.post(
                f"{self._url.rstrip('/')}{_IMPORT}",
                params={"requireEmptyRegistry": "false"},
                content=archive,
                headers={**headers, "Content-Type": "application/zip"},
                timeout=_IMPORT_S,
            )
        except httpx.TransportError as error:
            raise RegistryUnavailable(f"the schema registry at {self._url} does not answer: {error}") from error
        if answer.is_error:
            raise RegistryUnavailable(f"the registry at {self._url} does not import schemas: {answer.text[:300]}")

    def _versions(self, subject: str) -> Iterator[Any]:
        answer = self._call("GET", f"/subjects/{subject}/versions")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return
        for version in sorted(answer.raise_for_status().json()):
            yield self._call("GET", f"/subjects/{subject}/versions/{version}").raise_for_status().json()

    def _require_read(self) -> None:
        """Return once the registry has read its store as it is now. Raises RegistryUnavailable when it cannot tell yet.

        Its store is a log: it answers a write when it has read that back, and with it all that was written before.
        """
        if (level := self.compatibility()) != COMPATIBILITY:
            raise RegistryUnavailable(f"the schema registry at {self._url} is not ready: its compatibility is {level}")
        self.require_compatibility()

    def _call(self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None) -> httpx.Response:
        retrying = Retrying(
            retry=retry_if_exception_type((httpx.TransportError, _NotReady)),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )
        query = {"defaultToGlobal": "true", **(params or {})}
        try:
            return retrying(self._once, method, path, body, query)
        except (httpx.TransportError, _NotReady) as error:
            raise RegistryUnavailable(f"the schema registry at {self._url} does not answer: {error}") from error

    def _once(self, method: str, path: str, body: Any, params: dict[str, str]) -> httpx.Response:
        answer = self._http.request(method, path, json=body, params=params)
        if answer.status_code in (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE):
            raise _NotReady(f"HTTP {answer.status_code}")
        return answer


class _NotReady(Exception):
    pass


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", answer.text))
    except ValueError:
        return answer.text
