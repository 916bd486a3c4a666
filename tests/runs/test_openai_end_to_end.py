"""An assistant on an OpenAI-compatible server, through the whole server; one at an address of the operator's is in
`tests/assistants/acceptance/test_own_types.py`."""

import pytest

from tests.runs.conftest import make_session
from tests.servers import Server
from tests.sse import events, text_of
from tests.stubs.openai import openai_stub
from tests.stubs.server import Reply

pytestmark = pytest.mark.servers


def test_parameters_reach_the_model_and_its_tokens_and_tool_calls_come_through(server: Server) -> None:
    call = ("call-1", "calculator", '{"expression": "6 * 7"}')
    with openai_stub(Reply("thinking", tool_calls=[call]), Reply("it is forty two")) as stub:
        llm = {
            "provider": "openai",
            "model": "local-model",
            "base_url": f"http://{stub.address}/v1",
            "temperature": 0.25,
            "max_tokens": 99,
            "top_p": 0.5,
            "stop_sequences": ["STOP"],
        }
        session = make_session(server, llm=llm, system_prompt="Be exact.", tools=[{"name": "calculator"}])
        body = {"input": {"message": "6 times 7?"}}
        with server.client.stream("POST", f"/sessions/{session}/runs/stream", json=body) as response:
            received = list(events(response))
    first, second = (asked.body for asked in stub.asked)
    sent = {name: first[name] for name in ("model", "temperature", "max_tokens", "top_p", "stop")}
    assert sent == {"model": "local-model", "temperature": 0.25, "max_tokens": 99, "top_p": 0.5, "stop": ["STOP"]}
    assert first["messages"][0] == {"role": "system", "content": "Be exact."}
    assert second["messages"][-1]["role"] == "tool"
    assert "42" in second["messages"][-1]["content"]
    assert text_of(received).strip().endswith("it is forty two")
    assert [event.data["name"] for event in received if event.event == "tool_call"] == ["calculator"]
    assert received[-1].data["usage"] == {"input_tokens": 22, "output_tokens": 14, "total_tokens": 36, "cost_usd": None}
