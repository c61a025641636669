"""The AsyncAPI 3.0 document of the topics, made from the catalogue, the committed schemas and the headers.

Bindings are those of the Kafka binding 0.5.0; payloads are Avro schemas in the multi format schema object.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from schemas import avro
from schemas.headers import NAMES, Header, headers_of
from schemas.topics import CATALOGUE, Topic

_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_BINDING = "0.5.0"
_NUMBERS = ("retention.ms", "retention.bytes", "segment.ms", "max.compaction.lag.ms")
_DESCRIPTION = (
    "The Kafka topics of an order system whose system of record is a log. Values are Avro in the Confluent wire "
    "format: magic byte 0, four bytes of schema id, body. `personal_data` holds an Avro record of its own, one of "
    "components/schemas. To be told what happens, subscribe to event notifications and event-carried state transfer; "
    "the other topics are for orderlog's own services, and may change with them."
)

Json = dict[str, Any]


class Cluster(Protocol):
    """Where the topics are, and what the settings say of them; eventlog.settings.Settings is one."""

    kafka_bootstrap: str
    registry_url: str
    topic_prefix: str
    partitions: int
    replication_factor: int
    min_insync_replicas: int


def document(cluster: Cluster) -> Json:
    """The document as plain data, for JSON or YAML. Without passwords, also when an address has one."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "orderlog topics", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/avro",
        "servers": _servers(cluster),
        "channels": {key_of(topic.name): _channel(cluster, topic) for topic in CATALOGUE},
        "operations": dict(operation for topic in CATALOGUE for operation in _operations(topic)),
        "components": {
            "messages": {
                f"{key_of(topic.name)}-{name}": _message(topic, name, schema)
                for topic in CATALOGUE
                for name, schema in _messages(topic).items()
            },
            "schemas": _schemas(),
        },
    }


def key_of(name: str) -> str:
    """What a topic or a service is called in the document, whose keys tools take without dots and slashes."""
    return name.replace(".", "-").replace("/", "-")


def _servers(cluster: Cluster) -> Json:
    binding = {
        "schemaRegistryUrl": _without_login(cluster.registry_url),
        "schemaRegistryVendor": "apicurio",
        "bindingVersion": _BINDING,
    }
    hosts = [host.strip() for host in cluster.kafka_bootstrap.split(",")]
    return {
        f"kafka-{number}": {"host": host, "protocol": "kafka", "bindings": {"kafka": dict(binding)}}
        for number, host in enumerate(hosts, start=1)
    }


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _channel(cluster: Cluster, topic: Topic) -> Json:
    address = cluster.topic_prefix + topic.name
    return {
        "address": address,
        "title": topic.name,
        "description": topic.reason,
        "messages": {name: _ref("components", "messages", f"{key_of(topic.name)}-{name}") for name in _messages(topic)},
        "tags": [{"name": topic.pattern.value}],
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": cluster.partitions if topic.partitions is None else topic.partitions,
                "replicas": cluster.replication_factor,
                "topicConfiguration": _configuration(cluster, topic.config),
                "bindingVersion": _BINDING,
            }
        },
        "x-owner": topic.owner,
        "x-readers": list(topic.readers),
    }


def _configuration(cluster: Cluster, config: Mapping[str, str]) -> Json:
    told: Json = {key: int(value) if key in _NUMBERS else value for key, value in sorted(config.items())}
    told["cleanup.policy"] = config["cleanup.policy"].split(",")
    return {**told, "min.insync.replicas": cluster.min_insync_replicas}


def _operations(topic: Topic) -> Iterable[tuple[str, Json]]:
    by_whom = [("send", topic.owner), *(("receive", reader) for reader in topic.readers)]
    for action, service in by_whom:
        yield (
            f"{key_of(service)}-{action}-{key_of(topic.name)}",
            {
                "action": action,
                "channel": _ref("channels", key_of(topic.name)),
                "title": f"{service} {'writes' if action == 'send' else 'reads'} {topic.name}",
                "tags": [{"name": service}],
                "messages": [_ref("channels", key_of(topic.name), "messages", name) for name in _messages(topic)],
            },
        )


def _messages(topic: Topic) -> Mapping[str, str | None]:
    """The topic's messages by name, and the schema of each; one without schema where records are of any kind."""
    return {name.removeprefix("public."): name for name in topic.schemas} or {"record": None}


def _message(topic: Topic, name: str, schema_name: str | None) -> Json:
    key: Json = {"type": "string", "description": topic.key}
    binding: Json = {"key": key, "bindingVersion": _BINDING}
    message: Json = {"name": name, "summary": topic.reason, "contentType": "application/octet-stream"}
    if kind := headers_of(topic):
        message["headers"] = _ref("components", "schemas", f"headers-{kind}")
    if schema_name:
        message |= {"summary": avro.latest(schema_name)["doc"], "contentType": "application/avro"}
        message["payload"] = _avro(schema_name)
        binding |= {
            "schemaIdLocation": "payload",
            "schemaIdPayloadEncoding": "confluent",
            # Where the registry has it: schemas/publish.py.
            "schemaLookupStrategy": "TopicNameStrategy" if kind == "public" else "TopicRecordNameStrategy",
        }
    return message | {"bindings": {"kafka": binding}}


def _schemas() -> Json:
    return {
        **{f"headers-{kind}": _headers(headers) for kind, headers in NAMES.items()},
        **{name: _avro(name) for name in sorted(avro.PERSONAL)},
    }


def _headers(headers: Iterable[Header]) -> Json:
    return {
        "type": "object",
        "properties": {header.name: {"type": "string", "description": header.meaning} for header in headers},
        "required": [header.name for header in headers if header.required],
    }


def _avro(name: str) -> Json:
    return {"schemaFormat": _AVRO, "schema": avro.latest(name)}


def _ref(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}
