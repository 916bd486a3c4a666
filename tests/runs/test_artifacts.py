"""What tools give that is too large for a run's documents, or make beside them."""

import json
import re
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from core.redaction import everywhere
from runs.documents import run_document
from runs.lifecycle import Status
from runs.models import Artifact
from runs.queries import get_run
from runs.worker import artifacts
from runs.worker.artifacts import SHOWN, Artifacts, NewArtifact
from runs.worker.committer import LeaseLost
from runs.worker.rescue import put_back
from runtime.contract import AgentSpec, BoundTool, Json, Tool, ToolCall, ToolContext, ToolRecord
from runtime.react import ReactAgent
from runtime.secrets import NO_SECRETS, Secret, Secrets, redactor
from tests.api import UNKNOWN, Api
from tests.runs.stage import Stage
from tests.runs.worker import one, rows

MIB = 1024 * 1024
LIMIT = 65_536
SESSION = UNKNOWN
KEPT = "SELECT id::text, call_id, name, mime_type, size, content FROM artifacts WHERE run_id = %(run)s ORDER BY id"


class Giver(Tool):
    """Gives what it is made with, or what that gives with the call's context."""

    name, description = "give", "Gives."

    def __init__(self, given: Any):
        self.given = given

    async def acall(self, args: Any, context: ToolContext) -> Json:
        given = self.given(context) if callable(self.given) else self.given
        return await given if hasattr(given, "__await__") else given


CALL = {"tool_calls": [{"name": "give", "args": {}}]}


def giving(given: Any, calls: int = 1, **secrets: Secret) -> ReactAgent:
    """An agent that calls the tool so often in each run."""
    turns = [*[CALL] * calls, {"text": "done"}] * 2
    llm = {"provider": "fake", "model": "script", "settings": {"turns": turns}}
    config = {"llm": llm, "step_timeout_s": 30}
    return ReactAgent(AgentSpec("ReactAgent", config, {"give": BoundTool(Giver(given))}, secrets))


async def carried_out(stage: Stage, agent: ReactAgent, durability: str = "sync") -> dict[str, Any]:
    """The run's document."""
    commit = await stage.carry_out(durability, agent)
    assert commit.status == Status.SUCCESS, commit.error
    return run_document(await get_run(stage.tenant.identity, stage.run_id).arun())


def the_call(run: dict[str, Any]) -> dict[str, Any]:
    [call] = [call for step in run["steps"] for call in step["tool_calls"]]
    return dict(call)


async def test_a_result_of_five_megabytes_is_kept_beside_the_run(stage: Stage) -> None:
    # One secret lies across the place where what the model is shown ends.
    begin, rest = "€" * (SHOWN - 5), "€" * (5 * MIB // 3)
    run = await carried_out(stage, giving(f"{begin}correct-horse{rest}", key=Secret("correct-horse", ())))
    text = f"{begin}[secret:key]{rest}"
    call = the_call(run)
    [kept] = await rows(KEPT, run=stage.run_id)
    size = len(text.encode())
    assert kept == {
        "id": call["artifact_id"],
        "call_id": call["id"],
        "name": "give.txt",
        "mime_type": "text/plain; charset=utf-8",
        "size": size,
        "content": text.encode(),
    }
    mime_type = "text/plain; charset=utf-8"
    shown = {"artifact_id": kept["id"], "mime_type": mime_type, "size": size, "beginning": text[:SHOWN]}
    assert call["result"] == shown
    [message] = [json.loads(said) for said in await stage.messages() if "artifact_id" in said]
    assert message == shown
    told = await one("SELECT data FROM run_events WHERE run_id = %(run)s AND event = 'tool_result'", run=stage.run_id)
    assert (told["data"]["artifact_id"], told["data"]["result"]) == (kept["id"], shown)
    assert len(json.dumps(run)) < LIMIT


async def test_a_tool_keeps_what_it_makes(stage: Stage) -> None:
    run = await carried_out(
        stage, giving(lambda context: context.artifact("../a/chart\n.png", "image/png", b"\x89PNG\xff"))
    )
    call = the_call(run)
    [kept] = await rows(KEPT, run=stage.run_id)
    assert (kept["name"], kept["mime_type"], kept["content"]) == (".._a_chart_.png", "image/png", b"\x89PNG\xff")
    assert (kept["call_id"], kept["id"]) == (call["id"], call["result"])
    assert call["artifact_id"] is None


async def test_what_an_exit_run_makes_is_stored_with_the_run(stage: Stage) -> None:
    async def look(context: ToolContext) -> Json:
        context.artifact("a", "image/png", b"1")
        return await rows(KEPT, run=context.io.run_id)

    run = await carried_out(stage, giving(look), "exit")
    assert the_call(run)["result"] == []
    assert [kept["content"] for kept in await rows(KEPT, run=stage.run_id)] == [b"1"]


async def test_an_exit_run_does_not_gather_without_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.worker.recorder.MAX_HELD_BYTES", 10)
    await carried_out(stage, giving(lambda context: context.artifact("a", "image/png", b"x" * 11)), "exit")
    # The step with the tool and the end.
    assert await stage.checkpoints() == 2


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_a_session_reads_its_own_and_no_others(stage: Stage, durability: str) -> None:
    """In the same step, in the next one, stored by then or not, and in the next run."""
    kept: list[str] = []

    async def make_and_read(context: ToolContext) -> Json:
        if not kept:
            kept.append(context.artifact("a.png", "image/png", b"0123456789"))
        found = await context.io.read_artifact(kept[0], 8, 5)
        return None if found is None else [found[0].decode(), found[1]]

    for _ in range(2):
        await carried_out(stage, giving(make_and_read, calls=2), durability)
    told = await rows("SELECT tool_calls->0->'result' AS given FROM run_steps WHERE kind = 'tools' ORDER BY id")
    assert [step["given"] for step in told] == [["89", 10]] * 4
    assert await Artifacts(SESSION, everywhere).read(kept[0], 0, 5) is None
    assert await Artifacts(str(stage.session), everywhere).read(kept[0], 0, 5) == (b"01234", 10)
    assert await Artifacts(str(stage.session), everywhere).read(kept[0], 10**12, 5) == (b"", 10)
    assert await Artifacts(str(stage.session), everywhere).read("nothing", 0, 5) is None


async def test_a_late_writer_leaves_nothing(stage: Stage) -> None:
    async def lose(context: ToolContext) -> str:
        await put_back(stage.worker, [stage.run_id]).arun()
        return context.artifact("late", "image/png", b"1")

    with pytest.raises(LeaseLost):
        await stage.carry_out("sync", giving(lose))
    assert await rows(KEPT, run=stage.run_id) == []


# -- which become artifacts, without a database ------------------------------------------------------------------------


def shortened(result: Any, secrets: Secrets = NO_SECRETS, **told: Any) -> tuple[ToolRecord, list[NewArtifact]]:
    made = Artifacts(SESSION, redactor(secrets))
    record = ToolRecord(ToolCall("c1", "give", {}), result=result, **{"status": "ok", **told})
    made.shorten(record)
    return record, made.take()


def test_json_stays_json() -> None:
    table = [{"n": n, "text": "x" * 100} for n in range(1000)]
    record, [kept] = shortened(table)
    assert (kept.name, kept.mime_type, json.loads(kept.content)) == ("give.json", "application/json", table)
    assert record.result["beginning"] == json.dumps(table)[:SHOWN]


@pytest.mark.parametrize(("size", "count"), [(LIMIT, 0), (LIMIT + 1, 1)])
def test_what_is_no_larger_than_allowed_stays_where_it_is(size: int, count: int) -> None:
    record, kept = shortened("x" * size)
    assert len(kept) == count
    assert (record.result == "x" * size, record.artifact_id is None) == (count == 0, count == 0)


def test_a_result_that_is_too_large_for_that_too_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_BYTES", LIMIT)
    record, kept = shortened("x" * (LIMIT + 1))
    assert (record.status, record.result, record.artifact_id, kept) == ("error", None, None, [])
    assert record.error == "The result is too large: 'give.txt' has 65537 bytes; 65536 can be kept."


def test_a_long_error_ends_early() -> None:
    record, kept = shortened(None, status="error", error="x" * (LIMIT + 1))
    assert (record.error, kept) == ("x" * SHOWN + "…", [])


def test_secrets_are_cut_out_of_texts_and_of_nothing_else() -> None:
    made = Artifacts(SESSION, redactor({"key": Secret("correct-horse", ())}))
    made.add("a.csv", "text/csv", b"user,correct-horse")
    made.add("a.png", "image/png", b"user,correct-horse")
    made.add("a.txt", "text/plain", b"\xff,correct-horse")
    kept = [kept.content for kept in made.take()]
    assert kept == [b"user,[secret:key]", b"user,correct-horse", b"\xff,[secret:key]"]


@pytest.mark.parametrize(
    ("name", "mime_type", "size", "why"),
    [
        ("a.png", "image", 1, "'image' is not a type such as text/csv."),
        ("a.png", "image/png\r\nx-evil: 1", 1, "is not a type"),
        (" ", "image/png", 1, "An artifact needs a name."),
        ("a.png", "image/png", 101, "'a.png' has 101 bytes; 100 can be kept."),
    ],
)
def test_what_cannot_be_kept_says_why(
    monkeypatch: pytest.MonkeyPatch, name: str, mime_type: str, size: int, why: str
) -> None:
    monkeypatch.setattr(artifacts, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=re.escape(why)):
        Artifacts(SESSION, everywhere).add(name, mime_type, b"x" * size)


def test_a_step_keeps_no_more_than_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_STEP_BYTES", 100)
    made = Artifacts(SESSION, everywhere)
    made.add("first", "image/png", b"x" * 60)
    with pytest.raises(ValueError, match="A step keeps 100 bytes of artifacts; 'second' would be more"):
        made.add("second", "image/png", b"x" * 60)
    made.take()
    made.add("second", "image/png", b"x" * 60)


# -- the API -----------------------------------------------------------------------------------------------------------


def kept_for(run: str, name: str = "Überblick.csv", mime_type: str = "text/csv", content: bytes = b"a,b\n") -> str:
    made = Artifact.objects.create(run_id=run, name=name, mime_type=mime_type, size=len(content), content=content)
    return str(made.pk)


def test_they_are_listed_without_what_is_in_them(api: Api) -> None:
    run = api.run()
    ids = [kept_for(run), kept_for(run)]
    kept_for(api.run())
    items = api.items(f"/runs/{run}/artifacts")
    assert [item["id"] for item in items] == ids
    assert items[0] == {
        "id": ids[0],
        "run_id": run,
        "call_id": None,
        "name": "Überblick.csv",
        "mime_type": "text/csv",
        "size": 4,
        "created_at": items[0]["created_at"],
    }


def test_a_list_takes_two_statements(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    run = api.run()
    for _ in range(5):
        kept_for(run)
    api.items(f"/runs/{run}/artifacts")
    # The key is known by then: the run, and the page.
    with django_assert_num_queries(2) as asked:
        api.items(f"/runs/{run}/artifacts")
    assert not any("content" in query["sql"] for query in asked)


def test_one_is_saved_as_a_file(api: Api) -> None:
    run = api.run()
    answer = api.get(f"/runs/{run}/artifacts/{kept_for(run, 'page.html', 'text/html', b'<script>')}")
    assert (answer.status_code, answer.content, answer["content-type"]) == (200, b"<script>", "text/html")
    assert answer["content-disposition"] == 'attachment; filename="page.html"'
    assert answer["content-security-policy"].startswith("sandbox;")
    assert answer["x-content-type-options"] == "nosniff"


def test_a_name_of_any_letters_is_a_files_name(api: Api) -> None:
    run = api.run()
    answer = api.get(f"/runs/{run}/artifacts/{kept_for(run)}")
    assert answer["content-disposition"] == "attachment; filename*=utf-8''%C3%9Cberblick.csv"


def test_one_is_found_in_its_own_run_only(api: Api, stranger: Api) -> None:
    run, other = api.run(), api.run()
    kept = kept_for(run)
    assert api.get(f"/runs/{other}/artifacts/{kept}").status_code == 404
    assert api.get(f"/runs/{run}/artifacts/{UNKNOWN}").status_code == 404
    assert stranger.get(f"/runs/{run}/artifacts/{kept}").status_code == 404
    assert stranger.get(f"/runs/{run}/artifacts").status_code == 404
