"""`POST /threads/{id}/commands`, and the same over the websocket of a thread's events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.db.models import Q

from config.asgi import application
from core.ids import new_id
from protocols.langgraph.v2.numbering import run_number_of
from runs.live import hub
from runs.models import Run, RunPayload
from tests.api import UNKNOWN, Api
from tests.runs.hand import Hand, Held
from tests.runs.worker import in_thread

INPUT = {"messages": [{"role": "user", "content": "Hello"}]}


async def command(http: httpx.AsyncClient, thread_id: Any, method: str, **params: Any) -> dict[str, Any]:
    """The answer to a command."""
    body = {"id": 7, "method": method, "params": params}
    answer = await http.post(f"/threads/{thread_id}/commands", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["id"] == 7
    return document


async def started(http: httpx.AsyncClient, thread_id: Any, **params: Any) -> UUID:
    answer = await command(http, thread_id, "run.start", **{"assistant_id": "echo", "input": INPUT, **params})
    assert answer["type"] == "success", answer
    return UUID(answer["result"]["run_id"])


@pytest.fixture
async def hand(open_door: None) -> Hand:
    return await in_thread(Hand)


# -- starting runs -----------------------------------------------------------------------------------------------------


async def test_a_run_is_started_in_a_thread_that_is_made_for_it(http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    run_id = await started(http, thread_id, config={"tags": ["a"]}, metadata={"b": 1})
    run = await in_thread(Run.objects.get, Q(id=run_id))
    payload = await in_thread(RunPayload.objects.get, Q(run_id=run_id))
    assert run.session_id == thread_id
    assert run.metadata["b"] == 1
    assert payload.input == INPUT
    assert payload.kwargs["config"]["tags"] == ["a"]
    assert {"values", "messages-tuple", "tasks", "tools", "custom", "updates"} == set(payload.kwargs["stream_mode"])
    assert payload.kwargs["stream_subgraphs"] is True


async def test_the_answer_says_how_far_the_thread_had_come(http: httpx.AsyncClient, hand: Hand) -> None:
    thread_id = new_id()
    first = await command(http, thread_id, "run.start", assistant_id="echo", input=INPUT)
    await (await hand.claim()).says("Hello", done=True)
    second = await command(http, thread_id, "run.start", assistant_id="echo", input=INPUT)
    assert first["meta"] == {"applied_through_seq": 0}
    assert run_number_of(second["meta"]["applied_through_seq"]) == 1


async def test_what_javascript_names_in_its_config_is_where_the_run_begins(
    tenant: Api, http: httpx.AsyncClient, hand: Hand
) -> None:
    assistant = await in_thread(tenant.assistant)
    thread_id = new_id()
    place = {"configurable": {"thread_id": str(thread_id)}}
    await started(http, thread_id, assistant_id=assistant, config=place)
    held = await hand.claim()
    await held.says("Hello")
    checkpoint_id = held.conversation.checkpoint_id
    await held.says("Bye", done=True)
    place["configurable"]["checkpoint_id"] = str(checkpoint_id)
    forked = await started(http, thread_id, assistant_id=assistant, config=place)
    run = await in_thread(Run.objects.get, Q(id=forked))
    assert str(run.from_checkpoint_id) == checkpoint_id
    other = {"configurable": {"thread_id": UNKNOWN}}
    answer = await command(http, thread_id, "run.start", assistant_id=assistant, input=INPUT, config=other)
    assert answer["error"] == "invalid_argument"


@pytest.mark.parametrize("spelt", ["multitask_strategy", "multitaskStrategy"])
async def test_a_strategy_may_be_spelt_in_two_ways(http: httpx.AsyncClient, spelt: str) -> None:
    thread_id = new_id()
    await started(http, thread_id)
    refused = await command(http, thread_id, "run.start", assistant_id="echo", input=INPUT, **{spelt: "reject"})
    assert refused["error"] == "unknown_error"
    assert refused["message"].startswith("Thread is already running a task.")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"input": {}}, "invalid_argument"),
        ({"assistant_id": "nope"}, "invalid_argument"),
        ({"assistant_id": UNKNOWN}, "unknown_error"),
        ({"assistant_id": "echo", "more": 1}, "invalid_argument"),
        ({"assistant_id": "echo", "langsmith_tracer": {"project_name": "a"}}, "invalid_argument"),
    ],
)
async def test_a_run_that_cannot_be_started_is_an_error(http: httpx.AsyncClient, params: Any, code: str) -> None:
    answer = await command(http, new_id(), "run.start", **params)
    assert (answer["type"], answer["error"]) == ("error", code)


async def test_a_strangers_thread_starts_nothing(tenant: Api, neighbour: Api, http: httpx.AsyncClient) -> None:
    session = await in_thread(neighbour.session)
    answer = await command(http, session, "run.start", assistant_id="echo", input=INPUT)
    assert answer["type"] == "error"
    assert not await in_thread(Run.objects.exists)


# -- answering ---------------------------------------------------------------------------------------------------------

ASKED = {"id": "i1", "value": {"question": "q"}, "task_id": "t1", "ns": []}


async def asking(http: httpx.AsyncClient, hand: Hand, *asked: dict[str, Any]) -> UUID:
    """A thread whose run asks this."""
    thread_id = new_id()
    await started(http, thread_id, assistant_id="interrupt", input={"question": "q"})
    held: Held = await hand.claim()
    await held.asks(type="custom", value={"interrupts": list(asked), "next": ["ask"]})
    return thread_id


async def test_an_answer_goes_on_by_its_interrupt(http: httpx.AsyncClient, hand: Hand) -> None:
    thread_id = await asking(http, hand, ASKED)
    answer = {"namespace": [], "interrupt_id": "i1", "response": {"yes": 1}}
    told = await command(http, thread_id, "input.respond", **answer)
    assert told["type"] == "success", told
    payload = await in_thread(RunPayload.objects.get, Q(run_id=told["result"]["run_id"]))
    assert payload.kwargs["command"] == {"resume": {"i1": {"yes": 1}}}
    again = await command(http, thread_id, "input.respond", **answer)
    assert again["error"] == "no_such_interrupt"


async def test_several_are_answered_at_once(http: httpx.AsyncClient, hand: Hand) -> None:
    thread_id = await asking(http, hand, ASKED, {**ASKED, "id": "i2"})
    responses: list[dict[str, Any]] = [
        {"namespace": [], "interrupt_id": name, "response": name} for name in ("i1", "i2")
    ]
    told = await command(
        http, thread_id, "input.respond", responses=responses, update={"question": "x"}, strict_resume=True
    )
    payload = await in_thread(RunPayload.objects.get, Q(run_id=told["result"]["run_id"]))
    assert payload.kwargs["command"] == {"resume": {"i1": "i1", "i2": "i2"}, "update": {"question": "x"}}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "invalid_argument"),
        ({"interrupt_id": "other", "response": 1}, "no_such_interrupt"),
        ({"interrupt_id": "i1", "more": 1}, "invalid_argument"),
    ],
)
async def test_what_is_not_asked_is_not_answered(http: httpx.AsyncClient, hand: Hand, params: Any, code: str) -> None:
    thread_id = await asking(http, hand, ASKED)
    assert (await command(http, thread_id, "input.respond", **params))["error"] == code


async def test_a_strangers_question_is_not_answered(neighbour: Api, http: httpx.AsyncClient, hand: Hand) -> None:
    thread_id = await asking(http, hand, ASKED)
    http.headers["x-api-key"] = neighbour.key
    told = await command(http, thread_id, "input.respond", interrupt_id="i1", response=1)
    assert told["error"] == "no_such_interrupt"


async def test_a_native_run_goes_on_itself(tenant: Api, http: httpx.AsyncClient, hand: Hand) -> None:
    session = await in_thread(tenant.session)
    run_id = await in_thread(tenant.run, session)
    await (await hand.claim()).asks(type="custom", value="Go on?")
    asked = (await http.get(f"/threads/{session}")).json()["interrupts"]
    ((asks,),) = asked.values()
    told = await command(http, session, "input.respond", interrupt_id=asks["id"], response="yes")
    assert told["result"] == {"run_id": run_id}


# -- other commands ----------------------------------------------------------------------------------------------------


async def test_the_tree_of_a_run_has_its_subgraphs(http: httpx.AsyncClient, hand: Hand) -> None:
    thread_id = new_id()
    assert (await command(http, thread_id, "agent.getTree"))["error"] == "no_such_run"
    await started(http, thread_id, assistant_id="nested", input={"text": "a"})
    held = await hand.claim()
    held.journal.tell("graph", {"mode": "values", "ns": ["child:1"], "data": {}})
    await held.says("done", done=True)
    tree = (await command(http, thread_id, "agent.getTree"))["result"]["tree"]
    assert tree == {
        "namespace": [],
        "status": "completed",
        "graph_name": "nested",
        "children": [{"namespace": ["child:1"], "status": "completed", "graph_name": "child"}],
    }


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("nope", "unknown_command"),
        ("state.get", "unknown_command"),
        ("subscription.subscribe", "not_supported"),
        ("subscription.unsubscribe", "no_such_subscription"),
    ],
)
async def test_what_is_no_command_here_is_an_error(http: httpx.AsyncClient, method: str, code: str) -> None:
    assert (await command(http, new_id(), method))["error"] == code


@pytest.mark.parametrize("body", [b'{"method": "x"}', b'{"id": "a", "method": "x"}', b'{"id": 1}', b"[1]"])
async def test_a_command_has_an_id_and_a_method(http: httpx.AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await http.post(f"/threads/{new_id()}/commands", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_argument"


async def test_a_command_is_json(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await http.post(f"/threads/{new_id()}/commands", content=b"{", headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid JSON body"})


# -- the websocket -----------------------------------------------------------------------------------------------------


class Socket:
    """An open websocket to a thread's events."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator

    async def hear(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(await self._communicator.receive_from(timeout=10))
        return document

    async def say(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command; events before it are passed over."""
        await self._communicator.send_to(json.dumps({"id": 1, "method": method, "params": params}))
        while (heard := await self.hear()).get("type") == "event":
            pass
        return heard

    async def closed(self) -> int:
        code: int = (await self._communicator.receive_output(timeout=10))["code"]
        return code

    async def send(self, text: str) -> None:
        await self._communicator.send_to(text)


@asynccontextmanager
async def socket_to(thread_id: Any, query: str = "", **headers: str) -> AsyncIterator[Socket]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    path = f"/langgraph/threads/{thread_id}/stream/events{query}"
    communicator = WebsocketCommunicator(application, path, headers=[(b"host", b"test"), *raw])
    connected, _ = await communicator.connect(timeout=10)
    assert connected
    yield Socket(communicator)
    await communicator.disconnect()


@pytest.fixture
async def listening(open_door: None) -> AsyncIterator[None]:
    task = asyncio.create_task(hub().run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_a_socket_starts_a_run_and_hears_it(tenant: Api, hand: Hand, listening: None) -> None:
    thread_id = new_id()
    async with socket_to(thread_id, x_api_key=tenant.key) as socket:
        begun = await socket.say("run.start", assistant_id="echo", input=INPUT)
        assert begun["type"] == "success", begun
        await (await hand.claim()).says("Hello", done=True)
        subscribed = await socket.say("subscription.subscribe", channels=["lifecycle"])
        assert subscribed["result"]["subscription_id"]
        events = [await socket.hear(), await socket.hear()]
        assert [event["params"]["data"]["event"] for event in events] == ["running", "completed"]
        assert events[0]["event_id"].split(":")[1] == begun["result"]["run_id"]


async def test_a_subscription_ends_when_its_client_says_so(tenant: Api, hand: Hand) -> None:
    async with socket_to(new_id(), x_api_key=tenant.key) as socket:
        one = await socket.say("subscription.subscribe", channels=["lifecycle"])
        name = one["result"]["subscription_id"]
        assert (await socket.say("subscription.unsubscribe", subscription_id=name))["type"] == "success"
        assert (await socket.say("subscription.unsubscribe", subscription_id=name))["error"] == "no_such_subscription"


async def test_what_is_no_command_is_answered_and_the_socket_stays(tenant: Api, open_door: None) -> None:
    async with socket_to(new_id(), x_api_key=tenant.key) as socket:
        await socket.send("{")
        assert (await socket.hear())["message"] == "Protocol commands must be valid JSON."
        await socket.send('{"method": "x"}')
        assert (await socket.hear())["error"] == "invalid_argument"
        assert (await socket.say("nope"))["error"] == "unknown_command"
        assert (await socket.say("subscription.subscribe", channels=["nope"]))["error"] == "invalid_argument"


async def test_without_a_key_a_socket_is_closed(tenant: Api, open_door: None) -> None:
    async with socket_to(new_id()) as socket:
        assert await socket.closed() == 4401


async def test_a_malformed_thread_is_told_by_the_code(tenant: Api, open_door: None) -> None:
    async with socket_to("xyz", x_api_key=tenant.key) as socket:
        assert await socket.closed() == 4422


async def test_a_browser_comes_with_a_ticket(tenant: Api, open_door: None) -> None:
    path = f"/langgraph/threads/{UNKNOWN}/stream/events"
    answer = await in_thread(tenant.post, "/ws-tickets", {"path": path})
    assert answer.status_code == 201, answer.content
    async with socket_to(UNKNOWN, f"?ticket={answer.json()['ticket']}") as socket:
        assert (await socket.say("nope"))["error"] == "unknown_command"


async def test_a_socket_asks_for_the_scope_of_reading_runs(tenant: Api, open_door: None) -> None:
    other = await in_thread(lambda: Api(tenant.workspace, scopes=("sessions:read",)))
    async with socket_to(UNKNOWN, x_api_key=other.key) as socket:
        assert await socket.closed() == 4403


async def test_who_may_only_read_starts_nothing(tenant: Api, open_door: None) -> None:
    reader = await in_thread(lambda: Api(tenant.workspace, scopes=("runs:read",)))
    async with socket_to(new_id(), x_api_key=reader.key) as socket:
        assert (await socket.say("run.start", assistant_id="echo"))["error"] == "permission_denied"
    assert not await in_thread(Run.objects.exists)
