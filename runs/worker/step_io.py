"""What an agent sees of its run while it steps."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import orjson

from core.db import Row
from core.ids import new_id
from core.redaction import Redactor
from runs.worker.artifacts import Artifacts
from runs.worker.journal import Journal
from runs.worker.keeping import Keeper
from runs.worker.outcomes import UnexpectedError
from runs.worker.rows import told
from runs.worker.step_files import StepFiles
from runs.worker.traffic.traffic import Call, Traffic
from runtime.contract import ToolRecord
from runtime.errors import AgentError


def redact(record: ToolRecord, redactor: Redactor) -> None:
    """Take the secrets out of what a tool gave."""
    record.result, record.error = redactor.value(record.result), redactor.value(record.error)


def refuse_unless_json(what: str, value: Any) -> None:
    """Raises AgentError."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise AgentError(f"{what} is not JSON: {error}.", code=UnexpectedError.code) from None


class RunIO:
    """`runtime.contract.StepIO` for a claimed run."""

    def __init__(
        self,
        claim: Row,
        journal: Journal,
        traffic: Traffic,
        redactor: Redactor,
        keeper: Keeper,
        files: StepFiles,
        artifacts: Artifacts,
        *,
        wait_s: float,
    ):
        self.run_id = str(claim["id"])
        self.session_id = str(claim["session_id"])
        self.workspace_id = str(claim["workspace_id"])
        self.assistant_id = str(claim["assistant_id"])
        self.user_id: str | None = claim["user_id"]
        self.attempt: int = claim["attempt"]
        self.metadata: Mapping[str, Any] = MappingProxyType(claim["metadata"])
        self.files = files
        self._journal = journal
        self._traffic = traffic
        self._redactor = redactor
        self._keeper = keeper
        self._artifacts = artifacts
        self._wait_s = wait_s

    def token(self, message_id: str, text: str, kind: Literal["text", "reasoning"] = "text") -> None:
        self._journal.token(message_id, text, kind)

    def tool_result(self, record: ToolRecord) -> None:
        # The record itself: the message that the model is shown is made of it.
        redact(record, self._redactor)
        self._artifacts.shorten(record)
        self._journal.tell("tool_result", told(record))

    def part(self, mode: str, namespace: Sequence[str], data: Any) -> None:
        self._journal.beside("graph", {"mode": mode, "ns": list(namespace), "data": self._redactor.value(data)})

    def custom(self, name: str, value: Any) -> None:
        refuse_unless_json(f"The event {name!r}", value)
        self._journal.tell("custom", {"name": name, "value": self._redactor.value(value)})

    def model_call(self, provider: str, model: str, place: str = "") -> Call:
        return self._traffic.call(self.run_id, provider, model, place, wait_s=self._wait_s)

    async def keep(self, key: str, value: Any) -> None:
        await self._keeper.keep(key, value)

    async def kept(self) -> Mapping[str, Any]:
        return await self._keeper.kept()

    def artifact(self, name: str, mime_type: str, content: bytes, call_id: str | None = None) -> str:
        return self._artifacts.add(name, mime_type, content, call_id)

    async def read_artifact(self, artifact_id: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        return await self._artifacts.read(artifact_id, offset, limit)

    def new_id(self) -> str:
        return str(new_id())

    def now(self) -> str:
        return self._journal.now()
