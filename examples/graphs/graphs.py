"""LangGraph graphs to host: `AGENT_SERVER_LANGGRAPH=examples/graphs/langgraph.json make serve`.

They call no model but a made-up one, and need nothing of this server: `langgraph dev` hosts them as well.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, ToolCallChunk, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


# -- echo: one step --------------------------------------------------------------------------------------------------


async def answer(state: Conversation) -> dict[str, Any]:
    return {"messages": [AIMessage(f"echo: {state['messages'][-1].text}")]}


echo = StateGraph(Conversation).add_node(answer).add_edge(START, "answer").compile(name="echo")


# -- steps: five of them, which count --------------------------------------------------------------------------------


class Counting(TypedDict, total=False):
    count: int
    log: Annotated[list[str], lambda old, new: (old or []) + (new or [])]
    fail_at: int
    sleep_s: float


def _step(number: int) -> Any:
    async def step(state: Counting) -> dict[str, Any]:
        if state.get("sleep_s"):
            await asyncio.sleep(state["sleep_s"])
        if state.get("fail_at") == number:
            raise ValueError(f"boom at {number}")
        get_stream_writer()({"step": number})
        return {"count": state.get("count", 0) + 1, "log": [f"step {number}"]}

    return step


_steps = StateGraph(Counting)
for _number in range(1, 6):
    _steps.add_node(f"s{_number}", _step(_number))
    _steps.add_edge(f"s{_number - 1}" if _number > 1 else START, f"s{_number}")
steps = _steps.add_edge("s5", END).compile(name="steps")


# -- react: a model that calls a tool --------------------------------------------------------------------------------

ANSWER = "The weather in the city that you have asked me about is sunny and warm today with a light breeze."


class MadeUpModel(BaseChatModel):
    """Calls its tool once, then answers with twenty words."""

    delay_s: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "made-up"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _message(self, messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(ANSWER)
        number = sum(isinstance(message, ToolMessage) for message in messages)
        call = {"name": "weather", "args": {"city": "Berlin"}, "id": f"call_{number}", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        message = self._message(messages)
        if message.tool_calls:
            call_id = message.tool_calls[0]["id"]
            chunk = ToolCallChunk(name="weather", args='{"city": "Berlin"}', id=call_id, index=0)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))
            return
        for index, word in enumerate(ANSWER.split()):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word if index == 0 else f" {word}"))


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


async def agent(state: Conversation) -> dict[str, Any]:
    return {"messages": [await MadeUpModel().ainvoke(state["messages"])]}


react = (
    StateGraph(Conversation)
    .add_node(agent)
    .add_node("tools", ToolNode([weather]))
    .add_edge(START, "agent")
    .add_conditional_edges("agent", tools_condition)
    .add_edge("tools", "agent")
    .compile(name="react")
)


# -- interrupt: a person decides ------------------------------------------------------------------------------------


class Deciding(TypedDict, total=False):
    question: str
    decision: Any


async def ask(state: Deciding) -> dict[str, Any]:
    return {"decision": interrupt({"question": state.get("question", "Go on?")})}


async def act(state: Deciding) -> dict[str, Any]:
    return {"question": f"decided: {state.get('decision')}"}


interrupting = (
    StateGraph(Deciding)
    .add_node(ask)
    .add_node(act)
    .add_edge(START, "ask")
    .add_edge("ask", "act")
    .compile(name="interrupt")
)


# -- nested: a graph inside of a graph ------------------------------------------------------------------------------


class Text(TypedDict, total=False):
    text: str


async def shout(state: Text) -> dict[str, Any]:
    return {"text": state.get("text", "").upper()}


async def finish(state: Text) -> dict[str, Any]:
    return {"text": f"{state.get('text', '')}!"}


child = StateGraph(Text).add_node(shout).add_edge(START, "shout").compile(name="child")
nested = (
    StateGraph(Text)
    .add_node("child", child)
    .add_node(finish)
    .add_edge(START, "child")
    .add_edge("child", "finish")
    .compile(name="nested")
)
