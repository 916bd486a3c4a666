"""`/triggers/{token}`: a signature starts a run, and nothing else does."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from accounts.models import Workspace
from assistants.services import archive_assistant
from core import counting
from core.ids import path_id
from runs.models import Run, RunPayload
from scheduling.models import Trigger, TriggerCall
from tests.api import Api, assert_refused
from tests.scheduling.triggers import Sender, make, sender

PUSH = {"ref": "refs/heads/main", "commits": [{"id": "1"}]}


def input_of(answer: Any) -> Any:
    return RunPayload.objects.get(run_id=answer.json()["run_id"]).input


# -- what a call starts ----------------------------------------------------------------------------------------------


def test_a_signed_call_starts_a_run_in_a_new_session(api: Api) -> None:
    ci = sender(api, metadata={"from": "ci"})
    answer = ci.standard()
    assert answer.status_code == 202, answer.content
    run = api.get(f"/runs/{answer.json()['run_id']}").json()
    assert answer.json() == {"run_id": run["id"], "session_id": run["session_id"], "status": "pending"}
    assert (run["input"], run["metadata"]) == ({"message": "Hello"}, {"from": "ci"})
    assert ci.standard().json()["session_id"] != run["session_id"]


def test_a_call_may_be_the_next_of_one_session(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    assert sender(api, assistant, session_id=session).standard().json()["session_id"] == session


def test_what_is_no_input_is_told_to_the_model_as_json(api: Api) -> None:
    ci = sender(api)
    assert input_of(ci.standard(PUSH)) == {"message": '{"ref":"refs/heads/main","commits":[{"id":"1"}]}'}
    assert input_of(ci.standard({"message": {"chat": 1}})) == {"message": '{"message":{"chat":1}}'}


def test_what_an_input_schema_asks_for_is_taken_as_it_is(api: Api) -> None:
    assistant = api.assistant(input_schema={"type": "object", "required": ["ref"]})
    ci = sender(api, assistant)
    assert input_of(ci.standard(PUSH)) == PUSH
    assert_refused(ci.standard({"other": 1}), 422, "invalid")


def test_its_user_and_its_version_are_the_triggers(api: Api) -> None:
    assistant = api.assistant()
    api.patch(f"/assistants/{assistant}", {"max_steps": 3})
    run = Run.objects.get(id=sender(api, assistant, user_id="ann", version=1).standard().json()["run_id"])
    assert (run.user_id, run.assistant_version) == ("ann", 1)


def test_as_github_does_it(api: Api) -> None:
    assert sender(api, verification="sha256").github(PUSH).status_code == 202
    own = sender(
        api, verification="sha256", signature_header="X-Signature", secret="a shared secret".replace(" ", "-") * 2
    )
    assert own.github(PUSH, header="x-signature").status_code == 202
    assert own.github(PUSH).status_code == 401


# -- who is refused --------------------------------------------------------------------------------------------------


def test_whoever_does_not_hold_the_secret_learns_nothing(api: Api) -> None:
    ci, plain = sender(api), sender(api, verification="sha256")
    late = datetime.now(UTC) - timedelta(minutes=6)
    other = make(api)["secret"]
    off = sender(api, enabled=False)
    signed = {"webhook-id": "m", "webhook-timestamp": str(int(datetime.now(UTC).timestamp()))}
    refused = [
        ci.post(PUSH, {}),
        ci.post(b"\xff", {**signed, "webhook-signature": "v1,x"}),
        ci.post(PUSH, {**signed, "webhook-signature": "nonsense"}),
        ci.post(PUSH, {**signed, "webhook-timestamp": "nan", "webhook-signature": "v1,aaaa"}),
        ci.post(PUSH, {"authorization": f"Bearer {api.key}"}),
        ci.standard(at=late),
        ci.standard(secret=other),
        plain.post(PUSH, {"x-hub-signature-256": "sha256=é"}),
        plain.standard(),
        off.standard(),
        ci.post(PUSH, {}, "/triggers/trg_" + "x" * 32),
    ]
    told = {(answer.status_code, answer.json()["detail"], answer.json()["code"]) for answer in refused}
    assert told == {(401, "No trigger has this address, or the signature is not right.", "unauthenticated")}
    assert Run.objects.count() == TriggerCall.objects.count() == 0


def test_a_changed_body_is_not_the_signed_one(api: Api) -> None:
    plain = sender(api, verification="sha256")
    assert plain.github({"a": 1}).status_code == 202
    signature = plain.github({"a": 1}).wsgi_request.headers["X-Hub-Signature-256"]
    assert plain.post({"a": 2}, {"x-hub-signature-256": signature}).status_code == 401


def test_wrong_signatures_are_bounded_and_right_ones_are_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "WRONG_CREDENTIALS", counting.Counts())
    monkeypatch.setattr(counting, "WRONG_A_MINUTE", 2)
    ci = sender(api)
    guesses = [ci.post(PUSH, {}) for _ in range(3)]
    assert [answer.status_code for answer in guesses] == [401, 401, 429]
    assert int(guesses[-1]["Retry-After"]) > 0
    assert ci.standard().status_code == 202


# -- deliveries ------------------------------------------------------------------------------------------------------


def test_the_same_delivery_starts_one_run(api: Api) -> None:
    ci = sender(api)
    first, again = ci.standard(id_="msg_1"), ci.standard(id_="msg_1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert Run.objects.count() == 1
    # Another trigger's deliveries are others.
    assert sender(api).standard(id_="msg_1").json() != first.json()


@pytest.mark.parametrize("header", ["x_github_delivery", "idempotency_key"])
def test_without_a_signed_id_the_sender_may_give_one(api: Api, header: str) -> None:
    hub = sender(api, verification="sha256")
    first, again, another = (hub.github(PUSH, **{header: id_}).json() for id_ in ("1", "1", "2" * 300))
    assert first == again != another


def test_without_any_id_the_same_body_is_the_same_delivery_for_a_day(api: Api) -> None:
    hub = sender(api, verification="sha256")
    first = hub.github(PUSH).json()
    assert hub.github(PUSH).json() == first
    TriggerCall.objects.update(created_at=datetime.now(UTC) - timedelta(hours=25))
    assert hub.github(PUSH).json() != first


def test_what_was_refused_may_be_sent_again(api: Api) -> None:
    assistant = api.assistant()
    ci = sender(api, assistant)
    archive_assistant(api.identity, path_id(assistant))
    assert_refused(ci.standard(id_="msg_1"), 409, "assistant_not_active")
    api.post(f"/assistants/{assistant}/restore")
    api.post(f"/assistants/{assistant}/activate")
    assert ci.standard(id_="msg_1").status_code == 202
    assert [call.outcome for call in TriggerCall.objects.all()] == ["started"]


# -- the log ---------------------------------------------------------------------------------------------------------


def test_calls_are_logged_with_what_became_of_them(api: Api) -> None:
    made = make(api)
    ci = Sender(made)
    assert_refused(ci.standard(b"[1]", id_="list"), 422, "invalid")
    assert_refused(ci.standard(b'{"a": 1, "a": 2}', id_="twice"), 400, "bad_request")
    run_id = ci.standard(id_="good").json()["run_id"]
    good, twice, a_list = api.items(f"/triggers/{made['id']}/calls")
    assert (good["outcome"], good["delivery_id"], good["run_id"], good["reason"]) == ("started", "good", run_id, None)
    assert (twice["outcome"], twice["run_id"]) == ("failed", None)
    assert "same key twice" in twice["reason"]
    assert a_list["delivery_id"] == "list"
    assert api.items(f"/triggers/{made['id']}/calls", outcome="started") == [good]
    assert api.get(f"/triggers/{made['id']}").json()["last_called_at"] is not None


def test_a_workspaces_limits_hold_for_calls_too(api: Api) -> None:
    ci = sender(api)
    api.limit(concurrent_runs=1)
    assert ci.standard().status_code == 202
    assert_refused(ci.standard(), 429, "rate_limited")
    assert [call.outcome for call in TriggerCall.objects.order_by("created_at")] == ["started", "failed"]
    assert Run.objects.count() == 1


def test_only_json_is_read(api: Api) -> None:
    ci = sender(api)
    assert_refused(ci.standard(b"no json"), 400, "bad_request")
    plain = sender(api, verification="sha256", signature_header="x-signature")
    signature = plain.github(PUSH, header="x-signature").wsgi_request.headers["X-Signature"]
    form = "application/x-www-form-urlencoded"
    answer = plain.client.post(
        plain.path, json.dumps(PUSH), form, headers={"x-signature": signature, "idempotency-key": "2"}
    )
    assert_refused(answer, 415, "unsupported_media_type")
    assert ci.client.get(ci.path).status_code == 405


def test_a_call_in_a_deleted_session_is_refused(api: Api) -> None:
    assistant = api.assistant()
    ci = sender(api, assistant, session_id=api.session(assistant))
    api.delete(f"/sessions/{Trigger.objects.get().session_id}")
    assert_refused(ci.standard(), 409, "session_closed")


def test_an_old_call_is_answered_when_its_run_is_gone(api: Api) -> None:
    ci = sender(api)
    first = ci.standard(id_="1").json()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trigger_calls SET run_id = gen_random_uuid()")
    again = ci.standard(id_="1")
    assert again.status_code == 202
    assert (again.json()["session_id"], again.json()["status"]) == (None, None)
    assert again.json()["run_id"] != first["run_id"]


def test_calls_ask_for_no_key(api: Api) -> None:
    ci = sender(api)
    ci.client.cookies["sessionid"] = "x"
    assert ci.standard().status_code == 202
    assert Workspace.objects.count() == 1
