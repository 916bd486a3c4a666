"""What a reader of a thread wants to hear: channels, and namespaces down to a depth."""

from typing import Annotated, Any

from pydantic import Field

from core.errors import BadRequest
from core.validation import Body, validate

CHANNELS = ("values", "updates", "messages", "tools", "custom", "lifecycle", "input", "tasks", "checkpoints")
_NAMED = "custom:"
# Of one reader: each is compared with each event.
_MOST = 100

Namespace = Annotated[list[Annotated[str, Field(max_length=1_024)]], Field(max_length=64)]


class Wanted(Body):
    """The body of `POST /threads/{id}/stream/events`, and the parameters of `subscription.subscribe`.

    `namespaces`: only what is below one of these paths, `depth` levels deep at most. `since`: what comes after the
    event of this `seq`; without it, the thread's latest runs (see `reading`).
    """

    channels: Annotated[list[str], Field(max_length=_MOST)]
    namespaces: Annotated[list[Namespace], Field(max_length=_MOST)] | None = None
    depth: int | None = None
    since: int | None = None

    def wants(self, event: dict[str, Any]) -> bool:
        """Whether the event is for this reader."""
        channel = channel_of(event)
        if channel not in self.channels and not (channel.startswith(_NAMED) and "custom" in self.channels):
            return False
        return self._is_below(event["params"]["namespace"])

    def _is_below(self, namespace: list[str]) -> bool:
        if not self.namespaces:
            return True
        return any(
            _begins(namespace, prefix) and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def wanted(document: Any) -> Wanted:
    """The body as it is meant. Raises BadRequest where its channels are none of ours, Invalid for other faults."""
    channels = document.get("channels") if isinstance(document, dict) else None
    if not isinstance(channels, list) or not channels:
        raise BadRequest("channels is required and must be a non-empty array")
    unknown = [str(channel) for channel in channels if not _is_channel(channel)]
    if unknown:
        allowed = f"{', '.join(CHANNELS)}, or any `custom:<name>`"
        raise BadRequest(f"channels contains unsupported entries: {', '.join(unknown)}. Allowed: {allowed}.")
    return validate(Wanted, document)


def _is_channel(channel: Any) -> bool:
    return isinstance(channel, str) and (channel in CHANNELS or (channel.startswith(_NAMED) and channel != _NAMED))


def channel_of(event: dict[str, Any]) -> str:
    """The channel that an event is on, by its method."""
    method: str = event["method"]
    if method.startswith("input."):
        return "input"
    name = event["params"]["data"].get("name") if method == "custom" else None
    return f"{_NAMED}{name}" if name else method


def _begins(namespace: list[str], prefix: list[str]) -> bool:
    """Whether the path begins so. A segment without a task's id stands for all tasks of that node."""
    if len(prefix) > len(namespace):
        return False
    return all(
        given == own or (":" not in given and own.partition(":")[0] == given)
        for given, own in zip(prefix, namespace, strict=False)
    )
