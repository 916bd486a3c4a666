"""With no worker alive, beat tells of it by webhook, and leaves the rest to the workers that come back."""

import json

from pytest_django import Settings

from config.beat import deliver_alone
from runs.watching import Watch
from tests.runs.worker import make_worker
from tests.webhooks.post import Post


def test_the_webhook_that_tells_of_it_arrives(post: Post) -> None:
    post.endpoint(events=["workers.missing"])
    watch = Watch()
    watch.look(0)
    deliver_alone(watch)
    watch.look(60)
    deliver_alone(watch)
    (arrived,) = post.receiver.arrived
    assert json.loads(arrived.body)["type"] == "workers.missing"


def test_while_workers_are_there_beat_sends_nothing(post: Post) -> None:
    post.endpoint()
    post.tell()
    watch = Watch()
    watch.look(0)
    deliver_alone(watch)
    watch.look(60)
    make_worker()
    watch.look(70)
    deliver_alone(watch)
    assert post.receiver.arrived == []


def test_nor_where_webhooks_are_switched_off(post: Post, settings: Settings) -> None:
    post.endpoint()
    post.tell()
    settings.WEBHOOKS = False
    assert post.tell() == 0
    watch = Watch(is_missing=True)
    deliver_alone(watch)
    assert post.receiver.arrived == []
