"""The webhook of a run: whom it tells of itself, as clients name it, checked where they do."""

from typing import Annotated, Any, Literal, get_args

from django.conf import settings
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from assistants.config.blocks import Reference, Url
from core.url_guard import BlockedUrl
from core.validation import Body
from runtime.configuration import current
from runtime.secrets import name_in

RunKind = Literal["run.succeeded", "run.failed", "run.cancelled", "run.timed_out", "run.interrupted"]


def _may_be_called(url: str) -> str:
    try:
        current().guard.check(url)
    except BlockedUrl as blocked:
        raise ValueError(blocked.message) from None
    return url


def _may_be_named(reference: str) -> str:
    prefixes = current().secret_env_prefixes
    if name_in(reference) is None and not reference.startswith(prefixes):
        raise ValueError(f"a variable must begin with one of {', '.join(prefixes)}")
    return reference


class RunWebhook(Body):
    """Where a run's end is sent, and each of its questions; without `secret_env` it is not signed."""

    url: Annotated[Url, AfterValidator(_may_be_called)]
    secret_env: Annotated[Reference, AfterValidator(_may_be_named)] | None = Field(
        default=None,
        description="The variable that holds the signing secret, or `secret:<name>` for one of the workspace.",
    )
    events: list[RunKind] = Field(default=list(get_args(RunKind)), min_length=1, max_length=len(get_args(RunKind)))


def _whole(value: Any) -> Any:
    if not settings.WEBHOOKS:
        raise ValueError("this server sends no webhooks")
    return {"url": value} if isinstance(value, str) else value


# In a run's body: a URL alone, or with what belongs to it. Not a union: a fault's place would hold its alternatives.
Webhook = Annotated[
    RunWebhook,
    BeforeValidator(_whole),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "uri"}, RunWebhook.model_json_schema()]}),
]
