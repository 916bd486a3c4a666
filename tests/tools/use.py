"""One call of a registered tool, as an assistant's model makes it."""

from typing import Any

from runtime.contract import BoundTool, ToolCall, ToolRecord
from runtime.secrets import NO_SECRETS, Secrets
from runtime.toolbox import Toolbox
from tests.runtime.driver import a_turn
from tools import registry


async def use(name: str, args: dict[str, Any], *, secrets: Secrets = NO_SECRETS, **parameters: Any) -> ToolRecord:
    toolbox = Toolbox({name: BoundTool(registry.get(name), parameters, secrets)})
    [record] = await toolbox.carry_out([ToolCall("c1", name, args)], a_turn())
    return record


def problems(name: str, *, secrets: Secrets = NO_SECRETS, **parameters: Any) -> list[str]:
    """What keeps the tool from working here with these parameters."""
    tool = registry.get(name)
    return tool.check(tool.Parameters.model_validate(parameters).model_dump(mode="json"), secrets)
