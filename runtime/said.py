"""What is said in a session, and what it takes: messages, tool calls, tokens. Import them from `runtime.contract`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.metadata import FOR_MODEL

Json = Any
Content = str | list[dict[str, Any]]


@dataclass(slots=True, frozen=True)
class ToolCall:
    """A model's wish to have a tool called."""

    id: str
    name: str
    args: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "args": self.args}


@dataclass(slots=True)
class Message:
    """One message of the conversation. `content` is text or a list of parts; `id` is a UUIDv7 in text."""

    id: str
    role: Literal["user", "assistant", "tool", "system"]
    content: Content
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_call_id: str | None = None
    name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the content, parts joined."""
        return _text(self.content)

    @property
    def for_model(self) -> Content:
        """What a model is shown: the content, or what stands in `metadata` for it (`BaseAgent.incoming`)."""
        content: Content = self.metadata.get(FOR_MODEL, self.content)
        return content

    @property
    def text_for_model(self) -> str:
        """The text of what a model is shown."""
        return _text(self.for_model)


def _text(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


@dataclass(slots=True)
class Usage:
    """Tokens of model calls, and what they cost; None: the price is not known. A sum is that of what is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def add(self, other: "Usage") -> None:
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        if other.cost_usd is not None:
            # As many places as are stored: a sum must not differ from the one that is read again.
            self.cost_usd = round((self.cost_usd or 0) + other.cost_usd, 8)

    def document(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "cost_usd": self.cost_usd,
        }
