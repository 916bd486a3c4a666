"""Who sees a schedule, and who may have one."""

from tests.api import Api, assert_refused
from tests.scheduling.schedules import HOURLY, make_schedule


def test_a_bound_caller_has_schedules_of_its_own(api: Api) -> None:
    anns, assistant = Api(api.workspace, user_id="ann"), api.assistant()
    own = make_schedule(anns, assistant)
    assert own["user_id"] == "ann"
    for others in (make_schedule(api, assistant), make_schedule(api, assistant, user_id="bob")):
        for path in ("", "/preview", "/runs"):
            assert_refused(anns.get(f"/schedules/{others['id']}{path}"), 404, "not_found")
        for answer in (
            anns.patch(f"/schedules/{others['id']}", {"name": "Mine"}),
            anns.post(f"/schedules/{others['id']}/pause"),
            anns.post(f"/schedules/{others['id']}/trigger"),
            anns.delete(f"/schedules/{others['id']}"),
        ):
            assert_refused(answer, 404, "not_found")
    assert [one["id"] for one in anns.items("/schedules")] == [own["id"]]
    assert len(api.items(f"/assistants/{assistant}/schedules")) == 3


def test_a_bound_caller_names_nobody_else(api: Api) -> None:
    anns, assistant = Api(api.workspace, user_id="ann"), api.assistant()
    path = f"/assistants/{assistant}/schedules"
    assert_refused(anns.post(path, {**HOURLY, "user_id": "bob"}), 403, "forbidden")
    bobs = api.session(assistant, user_id="bob")
    assert_refused(anns.post(path, {**HOURLY, "session_id": bobs}), 422, "invalid", "session_id")
    own = make_schedule(anns, assistant)
    assert_refused(anns.patch(f"/schedules/{own['id']}", {"user_id": "bob"}), 403, "forbidden")
    assert_refused(anns.patch(f"/schedules/{own['id']}", {"session_id": bobs}), 422, "invalid", "session_id")
    # Nobody's is not theirs either.
    assert anns.patch(f"/schedules/{own['id']}", {"user_id": None}).json()["user_id"] == "ann"


def test_who_makes_no_runs_has_none_made_by_a_schedule(api: Api) -> None:
    writer, made = Api(api.workspace, scopes=("schedules:write",)), make_schedule(api, enabled=False)
    path = f"/schedules/{made['id']}"
    for answer in (
        writer.post(f"/assistants/{made['assistant_id']}/schedules", HOURLY),
        writer.patch(path, {"name": "Other"}),
        writer.post(f"{path}/resume"),
        writer.post(f"{path}/trigger"),
    ):
        assert_refused(answer, 403, "forbidden")
        assert "runs:write" in answer.json()["detail"]
    # What makes none needs no more.
    assert writer.post(f"{path}/pause").status_code == 200
    assert writer.delete(path).status_code == 204


def test_a_stranger_finds_nothing(api: Api, stranger: Api) -> None:
    made = make_schedule(api)
    assert stranger.items("/schedules") == []
    for path in (f"/schedules/{made['id']}", f"/assistants/{made['assistant_id']}/schedules"):
        assert_refused(stranger.get(path), 404, "not_found")
    assert stranger.items("/runs", schedule_id=made["id"]) == []
