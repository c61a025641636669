"""What a plan says of topics that were found, without a cluster."""

import pytest

from eventlog.settings import Settings
from eventlog.topic_plan import Found, Setting, TopicMismatch, config_of, partitions_of, plan_for, unknown
from schemas.topics import CATALOGUE, ORDER_EVENTS, ORDER_PLACED

PLAIN = Settings(_env_file=None, partitions=3)
SHOP = Settings(_env_file=None, partitions=3, topic_prefix="shop.")


def as_wanted(settings: Settings, replicas: int = 1) -> dict[str, Found]:
    return {
        settings.topic(topic.name): Found(partitions_of(settings, topic), replicas, config_of(settings, topic))
        for topic in CATALOGUE
    }


def test_nothing_to_do() -> None:
    plan = plan_for(SHOP, as_wanted(SHOP))
    assert (plan.changes, plan.notes) == ((), ())


def test_each_setting_that_differs_is_shown_from_old_to_new() -> None:
    found = as_wanted(SHOP)
    there = found["shop.order.placed"]
    found["shop.order.placed"] = Found(6, 1, {**there.config, "retention.ms": "1000", "segment.bytes": "7"})
    (change,) = plan_for(SHOP, found).changes
    assert (change.name, change.action, change.topic) == ("shop.order.placed", "configure", ORDER_PLACED)
    assert change.settings == (Setting("retention.ms", "1000", "2592000000"),)


def test_another_partition_count_names_the_fix_and_all_topics() -> None:
    found = as_wanted(SHOP)
    found["shop.order.events"] = Found(5, 1, {})
    found["shop.order.placed"] = Found(2, 1, {})
    with pytest.raises(TopicMismatch) as refused:
        plan_for(SHOP, found)
    assert "set ORDERLOG_PARTITIONS=5" in str(refused.value)
    assert "shop.order.placed has 2 partitions, the catalogue says 6" in str(refused.value)
    assert "another name" in str(refused.value)


def test_replicas_are_told_but_not_changed() -> None:
    wanted = SHOP.model_copy(update={"replication_factor": 3})
    plan = plan_for(wanted, as_wanted(wanted, replicas=1), [ORDER_EVENTS])
    (note,) = plan.notes
    assert plan.changes == ()
    assert "shop.order.events has 1 replica, ORDERLOG_REPLICATION_FACTOR says 3" in note


def test_more_acknowledgements_than_replicas_are_refused() -> None:
    with pytest.raises(TopicMismatch, match="ORDERLOG_MIN_INSYNC_REPLICAS=2 is more than"):
        plan_for(SHOP.model_copy(update={"min_insync_replicas": 2}), {})
    wanted = SHOP.model_copy(update={"min_insync_replicas": 2, "replication_factor": 3})
    with pytest.raises(TopicMismatch, match="has 1 replica, fewer than"):
        plan_for(wanted, as_wanted(SHOP))


def test_what_is_ours_and_unknown() -> None:
    changelog = "projection-sales-v2-sales-1-abcdef01-changelog"
    assert unknown(SHOP, ["shop.left.over", "shop." + changelog, "other.topic", "order.x"]) == ("shop.left.over",)
    foreign = ["payments", "orders", "ordering.x", "__consumer_offsets", "kafkasql-journal", changelog]
    assert unknown(PLAIN, [*foreign, "order.created", "writer.old", "order.events"]) == (
        "order.created",
        "writer.old",
    )
