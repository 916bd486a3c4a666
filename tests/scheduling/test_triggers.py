"""Triggers over the API: made, changed, rotated, deleted, and seen by whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from scheduling import triggers
from scheduling.models import Trigger, TriggerCall
from scheduling.trigger_secrets import unseal
from tests.api import UNKNOWN, Api, assert_refused
from tests.scheduling.triggers import Sender, make, sender

OWN = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def test_one_is_made_with_a_secret_that_is_shown_once(api: Api) -> None:
    made = make(api)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["path"] == f"/triggers/{made['token']}"
    assert len(made["token"]) == len("trg_") + 32
    assert api.get(f"/triggers/{made['id']}").json() == made == api.items("/triggers")[0]
    row = Trigger.objects.get()
    assert secret.encode() not in bytes(row.sealed_secret)
    assert unseal(row.workspace_id, row.id, row.sealed_secret) == secret


def test_all_fields_are_kept(api: Api) -> None:
    body = {
        "name": "all",
        "version": 1,
        "user_id": "ann",
        "enabled": False,
        "metadata": {"a": 1},
        "verification": "sha256",
        "signature_header": "x-signature",
        "secret": "0123456789abcdef",
    }
    made = make(api, **body)
    assert {name: made[name] for name in body} == body


def test_sent_again_it_makes_nothing_again(api: Api) -> None:
    path = f"/assistants/{api.assistant()}/triggers"
    sent = {"path": path, "data": {"name": "ci"}, "format": "json", "headers": {"idempotency-key": "k"}}
    first, again = api.client.post(**sent), api.client.post(**sent)
    assert (again.json()["id"], again.json()["secret"]) == (first.json()["id"], None)
    assert Trigger.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"secret": "short"}, ["secret"]),
        ({"secret": "no secret of standard webhooks"}, ["secret"]),
        ({"secret": "0123456789abcdef"}, []),
        ({"verification": "none"}, ["verification"]),
        ({"signature_header": "x-signature"}, []),
        ({"verification": "sha256", "signature_header": "x y"}, ["signature_header"]),
        ({"version": 9}, ["version"]),
        ({"tag": "none"}, ["tag"]),
        ({"version": 1, "tag": "a"}, []),
        ({"session_id": UNKNOWN}, ["session_id"]),
        ({"session_id": UNKNOWN, "version": 1}, []),
    ],
)
def test_what_would_not_work_is_refused(api: Api, body: dict[str, Any], loc: list[str]) -> None:
    assert_refused(api.post(f"/assistants/{api.assistant()}/triggers", {"name": "ci", **body}), 422, "invalid", *loc)
    assert Trigger.objects.count() == 0


def test_only_an_active_assistant_gets_one(api: Api) -> None:
    assistant = api.assistant()
    api.post(f"/assistants/{assistant}/archive")
    assert_refused(api.post(f"/assistants/{assistant}/triggers", {"name": "ci"}), 409, "assistant_not_active")
    assert_refused(api.post(f"/assistants/{UNKNOWN}/triggers", {"name": "ci"}), 404, "not_found")


def test_a_workspace_has_so_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "MOST_TRIGGERS", 1)
    make(api)
    assert_refused(api.post(f"/assistants/{api.assistant()}/triggers", {"name": "ci"}), 409, "conflict")


def test_a_change_holds_for_the_next_call(api: Api) -> None:
    made = make(api)
    ci, path = Sender(made), f"/triggers/{made['id']}"
    assert api.patch(path, {"enabled": False, "name": "new"}).json()["name"] == "new"
    assert ci.standard().status_code == 401
    assert api.patch(path, {"enabled": True, "version": 1}).json()["version"] == 1
    assert ci.standard().status_code == 202
    assert_refused(api.patch(path, {"verification": "sha256"}), 422, "invalid", "verification")
    assert_refused(api.patch(path, {"version": 7}), 422, "invalid", "version")


def test_metadata_is_merged_with_what_is_there(api: Api) -> None:
    path = f"/triggers/{make(api, metadata={'a': 1, 'b': 1})['id']}"
    assert api.patch(path, {"metadata": {"b": 2}}).json()["metadata"] == {"a": 1, "b": 2}
    assert_refused(api.patch(path, {"metadata": {"c": "x" * 65_520}}), 422, "invalid", "metadata")


def test_a_session_takes_the_place_of_a_version(api: Api) -> None:
    assistant = api.assistant()
    path = f"/triggers/{make(api, assistant, version=1)['id']}"
    session = api.session(assistant, user_id="ann")
    changed = api.patch(path, {"session_id": session}).json()
    assert (changed["session_id"], changed["version"], changed["user_id"]) == (session, None, "ann")
    assert_refused(api.patch(path, {"version": 1}), 422, "invalid", "version")
    assert api.patch(path, {"session_id": None, "version": 1}).json()["version"] == 1


def test_a_deleted_one_is_gone_with_its_calls(api: Api) -> None:
    made = make(api)
    ci = Sender(made)
    run_id = ci.standard().json()["run_id"]
    assert api.delete(f"/triggers/{made['id']}").status_code == 204
    assert ci.standard().status_code == 401
    assert TriggerCall.objects.count() == 0
    assert api.get(f"/runs/{run_id}").status_code == 200


def test_after_a_rotation_both_secrets_hold_for_a_while(api: Api) -> None:
    made = make(api)
    ci = Sender(made)
    rotated = api.post(f"/triggers/{made['id']}/rotate", {"secret": OWN}).json()
    assert (rotated["secret"], rotated["previous_secret_until"] is not None) == (OWN, True)
    assert ci.standard().status_code == ci.standard(secret=OWN).status_code == 202
    Trigger.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert (ci.standard().status_code, ci.standard(secret=OWN).status_code) == (401, 202)


def test_a_rotation_may_end_the_old_secret_at_once(api: Api) -> None:
    made = make(api)
    assert_refused(api.post(f"/triggers/{made['id']}/rotate", {"secret": "x" * 20}), 422, "invalid", "secret")
    rotated = api.post(f"/triggers/{made['id']}/rotate", {"overlap_s": 0}).json()
    assert rotated["secret"] not in {None, made["secret"]}
    assert (Sender(made).standard().status_code, Sender(rotated).standard().status_code) == (401, 202)


def test_the_servers_next_key_opens_them(api: Api, settings: Any) -> None:
    ci = sender(api)
    old, new = settings.ENCRYPTION_KEYS[0], "n" * 64
    settings.ENCRYPTION_KEYS = [new, old]
    call_command("rotate_secrets", stdout=None)
    settings.ENCRYPTION_KEYS = [new]
    assert ci.standard().status_code == 202


def test_every_act_is_in_the_audit_trail(api: Api) -> None:
    made = make(api)
    path = f"/triggers/{made['id']}"
    api.patch(path, {"name": "new"})
    api.patch(path, {"name": "new"})
    api.post(f"{path}/rotate")
    api.delete(path)
    entries = AuditEntry.objects.filter(subject_type="trigger").order_by("created_at", "id")
    assert [entry.action for entry in entries] == ["created", "updated", "rotated", "deleted"]
    assert all(made["secret"] not in str(entry.details) for entry in entries)


def test_who_makes_no_runs_makes_no_trigger(api: Api) -> None:
    editor = Api(api.workspace, scopes=("schedules:write",))
    made = make(api)
    assert editor.post(f"/assistants/{api.assistant()}/triggers", {"name": "ci"}).status_code == 403
    assert editor.patch(f"/triggers/{made['id']}", {"enabled": False}).status_code == 403


def test_who_is_bound_to_a_user_sees_that_users(api: Api) -> None:
    ann, bob = (Api(api.workspace, user_id=name) for name in ("ann", "bob"))
    made = make(ann, api.assistant())
    assert made["user_id"] == "ann"
    assert bob.items("/triggers") == []
    for path in (f"/triggers/{made['id']}", f"/triggers/{made['id']}/calls"):
        assert (bob.get(path).status_code, ann.get(path).status_code) == (404, 200)


def test_lists_take_the_same_queries_for_many(api: Api) -> None:
    made = make(api)
    Sender(made).standard()
    paths = ["/triggers", f"/assistants/{made['assistant_id']}/triggers", f"/triggers/{made['id']}/calls"]

    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert api.get(path).status_code == 200
        return len(found)

    before = [queries(path) for path in paths]
    for _ in range(3):
        make(api, made["assistant_id"])
        Sender(made).standard()
    assert [queries(path) for path in paths] == before
    assert len(api.items("/triggers", enabled="true")) == 4
    assert api.items("/triggers", enabled="false") == []
