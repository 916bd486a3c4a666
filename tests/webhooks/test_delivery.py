"""One delivery: what is sent, what counts as arrived, what is tried again and when."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from runtime.configuration import RuntimeSettings, configure
from tests.webhooks.post import QUICK, SECRET, SOON, Post
from webhooks.bodies_of_events import _MAKERS, register
from webhooks.kinds import Kind
from webhooks.models import Alert, Delivery, DeliveryStatus, Endpoint, Event
from webhooks.signing import seal

OTHER = "whsec_" + "b3RoZXIh" * 4


def test_what_arrives_is_signed_and_says_what_happened(post: Post) -> None:
    post.endpoint("/200/ok", headers={"X-Team": "a", "Webhook-Id": "forged", "content-type": "text/html"})
    assert post.tell(run={"id": "1"}) == 1
    post.send()
    (arrived,) = post.receiver.arrived
    event = Event.objects.get()
    said = Webhook(SECRET).verify(arrived.body, arrived.headers)
    assert (said["type"], said["data"]) == ("schedule.failed", {"run": {"id": "1"}})
    assert datetime.fromisoformat(said["timestamp"]) == event.created_at
    assert (arrived.headers["webhook-id"], arrived.headers["x-team"]) == (str(event.id), "a")
    assert arrived.headers["content-type"] == "application/json"
    assert arrived.headers["user-agent"].startswith("agent-server/")
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(arrived.body, arrived.headers)


def test_the_log_keeps_the_attempt(post: Post) -> None:
    endpoint = post.endpoint()
    post.tell()
    post.send()
    delivery, (attempt,) = post.delivery(), post.attempts()
    assert (delivery.status, delivery.attempt_count, delivery.last_status_code) == ("delivered", 1, 200)
    assert delivery.finished_at is not None
    assert (delivery.next_attempt_at, delivery.lease_owner) == (None, None)
    assert (attempt.number, attempt.status_code, attempt.response_body, attempt.error) == (1, 200, "seen", "")
    assert attempt.response_headers["set-cookie"] == "[cut]"
    assert attempt.duration_ms > 0
    sent = post.receiver.arrived[0].headers["webhook-signature"]
    assert attempt.request_headers["webhook-signature"] == f"{sent[:12]}..."
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.not_before, endpoint.last_success_at is not None) == (0, None, True)


def test_the_old_secret_signs_beside_the_new_one_until_its_time(post: Post) -> None:
    endpoint = post.endpoint()
    endpoint.previous_secret = seal(post.workspace.id, endpoint.id, OTHER)
    endpoint.previous_until = timezone.now() + timedelta(hours=1)
    endpoint.save()
    post.tell()
    post.send()
    Endpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    post.tell()
    post.send()
    both, new = post.receiver.arrived
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(both.body, both.headers)
    assert len(new.headers["webhook-signature"].split(" ")) == 1


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/500/x", 500, "It answered 500."),
        ("/redirect", 302, "redirects are not followed"),
        ("/hang", None, "No answer within 0.4 seconds."),
        ("/drip", None, "No answer within 0.4 seconds."),
        ("/cut", None, "RemoteProtocolError"),
    ],
)
def test_what_fails_is_tried_again(post: Post, path: str, status: int | None, reason: str) -> None:
    post.endpoint(path)
    post.tell()
    post.send(QUICK if path in ("/hang", "/drip") else SOON)
    delivery, (attempt,) = post.delivery(), post.attempts()
    assert (delivery.status, delivery.attempt_count, delivery.last_status_code) == ("pending", 1, status)
    assert reason in delivery.last_error
    assert (attempt.status_code, attempt.error) == (status, delivery.last_error)
    assert not post.receiver.at("/200/elsewhere")
    Endpoint.objects.update(url=post.receiver.url + "/200/well")
    post.pass_time(seconds=7)
    post.send()
    first, again = post.receiver.arrived
    assert (again.body, again.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    assert [attempt.number for attempt in post.attempts()] == [1, 2]


def test_an_endless_answer_counts_by_its_status(post: Post) -> None:
    post.endpoint("/endless")
    post.tell()
    post.send()
    (attempt,) = post.attempts()
    assert (post.delivery().status, attempt.status_code, attempt.error) == ("delivered", 200, "")
    assert attempt.response_body == "x" * 16 * 1024


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.0.0.1/x", "Refused: The server does not connect to the internal address 10.0.0.1."),
        ("http://localhost:1/x", "Refused: The server does not connect to localhost."),
        ("http://127.0.0.1:1/x", "ConnectError"),
        ("http://nowhere.invalid/x", "nowhere.invalid cannot be resolved"),
    ],
)
def test_where_nobody_is_reached_the_log_says_why(post: Post, url: str, reason: str) -> None:
    post.endpoint(url=url)
    post.tell()
    post.send()
    assert (post.delivery().status, post.delivery().last_status_code) == ("pending", None)
    assert reason in post.delivery().last_error


def test_retries_come_later_each_time_and_end(post: Post) -> None:
    post.endpoint("/500/x", retry_delays_s=[60, 3600])
    post.tell()
    for wait in (60, 3600):
        before = timezone.now()
        post.send()
        wished = post.delivery().next_attempt_at
        assert wished is not None
        assert timedelta(seconds=wait - 1) < wished - before < timedelta(seconds=wait * 1.2 + 30)
        post.pass_time(hours=2)
    post.send()
    delivery = post.delivery()
    assert (delivery.status, delivery.attempt_count, delivery.next_attempt_at) == ("dead", 3, None)
    alert = Alert.objects.get()
    assert (alert.kind, alert.resolved_at) == (Kind.DELIVERY_DEAD, None)
    assert "schedule.failed could not be delivered to ours in 3 attempts. It answered 500." in alert.message


def test_retry_after_is_the_least(post: Post) -> None:
    post.endpoint("/busy")
    post.tell()
    before = timezone.now()
    post.send()
    wished = post.delivery().next_attempt_at
    assert wished is not None
    assert wished - before >= timedelta(hours=2)


def test_gone_ends_it_and_switches_the_webhook_off(post: Post) -> None:
    endpoint = post.endpoint("/410/x")
    post.tell()
    post.send()
    endpoint.refresh_from_db()
    assert (post.delivery().status, endpoint.enabled) == ("dead", False)
    assert endpoint.disabled_reason == "The receiver wants no more of it (410)."
    assert "switched off" in Alert.objects.get().message


def test_a_dead_receiver_alerts_once_and_its_next_success_ends_it(post: Post) -> None:
    ours = post.endpoint("/500/x", retry_delays_s=[])
    post.endpoint("/200/told", events=[Kind.DELIVERY_DEAD])
    post.tell()
    post.send()
    post.tell()
    post.pass_time(seconds=60)
    post.send()
    assert Delivery.objects.filter(status="dead").count() == 2
    (told,) = post.receiver.at("/200/told")
    assert b'"webhook_id":"%b"' % str(ours.id).encode() in told.body
    Endpoint.objects.filter(id=ours.id).update(url=post.receiver.url + "/200/well")
    post.tell()
    post.pass_time(seconds=60)
    post.send()
    assert Alert.objects.get().resolved_at is not None


@pytest.mark.parametrize("kind", [Kind.DELIVERY_DEAD, Kind.TEST])
def test_nobody_is_told_that_it_could_not_be_told(post: Post, kind: Kind) -> None:
    post.endpoint("/500/x", events=[kind], retry_delays_s=[])
    post.tell(kind)
    post.send()
    assert (post.delivery().status, Alert.objects.count()) == ("dead", 0)


def test_what_is_asked_for_by_hand_goes_though_the_webhook_is_switched_off(post: Post) -> None:
    post.endpoint()
    post.tell()
    Endpoint.objects.update(enabled=False)
    post.send()
    assert not post.receiver.arrived
    Delivery.objects.update(manual=True)
    post.send()
    assert (post.delivery().status, post.delivery().manual) == ("delivered", False)
    assert post.attempts()[0].manual


def test_a_deleted_webhook_cancels_what_was_on_its_way(post: Post) -> None:
    endpoint = post.endpoint()
    post.tell()
    Endpoint.objects.filter(id=endpoint.id)._raw_delete("default")
    post.send()
    assert (post.delivery().status, post.receiver.arrived) == (DeliveryStatus.CANCELLED, [])


def test_a_run_s_own_is_signed_by_the_variable_that_it_names(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_HOOK", "just-some-words")
    post.own(secret_env="AGENT_SECRET_HOOK")
    post.own("/200/open")
    post.send()
    (signed,), (unsigned,) = post.receiver.at("/200/own"), post.receiver.at("/200/open")
    Webhook(b"just-some-words").verify(signed.body, signed.headers)
    assert "webhook-signature" not in unsigned.headers


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("AGENT_SECRET_NOT_THERE", "The environment variable AGENT_SECRET_NOT_THERE is not set."),
        ("PATH", "PATH may not be named"),
        ("secret:absent", "The workspace has no secret 'absent'."),
    ],
)
def test_without_its_secret_nothing_is_sent_and_it_is_tried_again(post: Post, variable: str, reason: str) -> None:
    post.own(secret_env=variable)
    post.send()
    assert reason in post.delivery().last_error
    assert (post.delivery().status, post.receiver.arrived) == ("pending", [])


def test_the_log_holds_no_secrets(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_TEAM", "very-secret-words")
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    post.endpoint(headers={"x-team": "very-secret-words"})
    post.tell()
    post.send()
    assert post.receiver.arrived[0].headers["x-team"] == "very-secret-words"
    assert post.attempts()[0].request_headers["x-team"] == "[AGENT_SECRET_TEAM]"


def test_another_room_says_what_the_body_holds(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.bodies_of_events._MAKERS", dict(_MAKERS))
    register("schedule.", lambda data, workspace: {"made": data["of"], "for": str(workspace)})
    post.endpoint()
    post.tell(of="rows")
    post.send()
    said = Webhook(SECRET).verify(post.receiver.arrived[0].body, post.receiver.arrived[0].headers)
    assert said["data"] == {"made": "rows", "for": str(post.workspace.id)}


def test_a_body_that_cannot_be_made_ends_no_dispatcher(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.bodies_of_events._MAKERS", dict(_MAKERS))
    register("schedule.", lambda data, workspace: {"made": data["absent"]})
    post.endpoint()
    post.endpoint(events=[Kind.QUEUE_STUCK])
    post.tell()
    post.tell(Kind.QUEUE_STUCK)
    post.send()
    assert len(post.receiver.arrived) == 1
    assert "cannot be made" in Delivery.objects.get(status="pending").last_error


def test_the_time_of_an_attempt_is_its_own(post: Post) -> None:
    post.endpoint()
    post.tell()
    Event.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    post.send()
    (arrived,) = post.receiver.arrived
    Webhook(SECRET).verify(arrived.body, arrived.headers)
    assert b"2026-01-01T00:00:00.000000Z" in arrived.body
