"""The tool `artifact_read`."""

import pytest

from runtime.contract import BoundTool, ToolCall, ToolRecord
from runtime.toolbox import Toolbox
from tests.runtime.driver import Heard, a_turn
from tools import registry


async def read(io: Heard, args: dict[str, object], **parameters: int) -> ToolRecord:
    turn = a_turn()
    turn.io = io
    toolbox = Toolbox({"artifact_read": BoundTool(registry.get("artifact_read"), parameters)})
    [record] = await toolbox.carry_out([ToolCall("c1", "artifact_read", args)], turn)
    assert isinstance(record, ToolRecord)
    return record


@pytest.fixture
def io() -> Heard:
    return Heard()


async def test_a_result_is_read_in_parts_that_end_between_characters(io: Heard) -> None:
    text = "äöü€😀" * 300
    kept, parts, offset = io.artifact("a.txt", "text/plain", text.encode()), [], 0
    while offset is not None:
        found = (await read(io, {"artifact_id": kept, "offset": offset, "limit": 10**9}, max_bytes=1024)).result
        parts.append(found["content"])
        offset = found["next_offset"]
    assert "".join(parts) == text
    assert max(len(part.encode()) for part in parts) <= 1024
    assert found["size"] == len(text.encode())


async def test_what_is_no_text_is_refused(io: Heard) -> None:
    kept = io.artifact("a.png", "image/png", b"\x89PNG")
    assert (await read(io, {"artifact_id": kept})).error == "It is not a text in UTF-8."


async def test_what_is_not_there_is_told(io: Heard) -> None:
    assert (await read(io, {"artifact_id": "nothing"})).error == "This session has no such artifact."
