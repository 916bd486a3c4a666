"""The tool `current_time`."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import Tool, ToolContext
from tools.registry import register


class CurrentTimeArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    timezone: str | None = Field(default=None, description="IANA name of a time zone, such as Europe/Berlin.")


class CurrentTimeParameters(BaseModel):
    """`timezone` is the one that is told where the model names none."""

    model_config = ConfigDict(extra="forbid")

    timezone: str = "UTC"


class CurrentTime(Tool):
    """The date and time in a time zone."""

    name = "current_time"
    description = "Tells the current date, time and weekday in a time zone."
    read_only = True
    Args = CurrentTimeArgs
    Parameters = CurrentTimeParameters

    async def acall(self, args: CurrentTimeArgs, context: ToolContext) -> dict[str, str]:
        name = args.timezone or context.parameters["timezone"]
        try:
            now = datetime.now(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"There is no time zone {name!r}; use an IANA name such as Europe/Berlin.") from None
        return {"time": now.isoformat(timespec="seconds"), "timezone": name, "weekday": f"{now:%A}"}


register(CurrentTime())
