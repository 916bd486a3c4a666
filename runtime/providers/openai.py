"""OpenAI, and every server that speaks its Chat Completions API (local models)."""

from mimetypes import guess_extension
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr

from runtime.errors import MediaNotSupported
from runtime.providers.access import OPENAI, access
from runtime.providers.base import LLM, Part, described
from runtime.providers.connection import http_client
from runtime.providers.http import HTTPProvider, HTTPSettings
from runtime.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel


# The integration makes the name of the format of the second half.
_AUDIO = {
    "audio/wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mp3",
    "audio/mpeg": "audio/mp3",
}
_WITHOUT_SCHEMAS = ("gpt-3.5", "gpt-4-", "gpt-4o-2024-05-13", "chatgpt-", "o1-mini", "o1-preview")


class OpenAISettings(HTTPSettings):
    """Passed on as they are, but for `timeout_s`."""

    seed: int | None = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    response_format: dict[str, Any] | None = None


class OpenAIProvider(HTTPProvider):
    name = "openai"
    Settings = OpenAISettings
    home = OPENAI

    def build(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> "BaseChatModel":
        from runtime.providers.openai_model import ChatCompletions  # noqa: PLC0415  (slow)

        settings = OpenAISettings.model_validate(llm.get("settings") or {})
        reached = access(llm, self.home, secrets)
        max_tokens = llm.get("max_tokens")
        body = {"response_format": settings.response_format} if settings.response_format else {}
        # OpenAI's newer models refuse `max_tokens`, and many compatible servers know nothing else.
        if max_tokens and not reached.official:
            body["max_tokens"] = max_tokens
        return ChatCompletions(
            model=llm["model"],
            base_url=reached.base_url,
            api_key=SecretStr(reached.key),
            temperature=llm.get("temperature"),
            max_completion_tokens=max_tokens if reached.official else None,
            top_p=llm.get("top_p"),
            stop_sequences=llm.get("stop_sequences") or None,
            extra_body=body or None,
            seed=settings.seed,
            frequency_penalty=settings.frequency_penalty,
            presence_penalty=settings.presence_penalty,
            reasoning_effort=settings.reasoning_effort,
            timeout=settings.timeout_s,
            stream_chunk_timeout=settings.timeout_s,
            http_async_client=http_client(reached, ("authorization", f"Bearer {reached.key}"), settings.timeout_s),
            # The server's own policy retries, and a proxy of the environment would lead past the guard.
            max_retries=0,
            openai_proxy=None,
            stream_usage=True,
            use_responses_api=False,
        )

    def media(self, part: Part) -> Part:
        match part["type"], "base64" in part:
            case "image", _:
                return part
            case "file", True:
                # Demanded of all files; what it says is shown to the model.
                return {"filename": f"file{guess_extension(part['mime_type']) or ''}", **part}
            case "audio", True if part["mime_type"] in _AUDIO:
                return {**part, "mime_type": _AUDIO[part["mime_type"]]}
        raise MediaNotSupported(
            f"openai takes images, files as base64, and audio as base64 of the types {', '.join(_AUDIO)}; "
            f"not {described(part)}."
        )

    def shaped(self, llm: LLM, schema: dict[str, Any]) -> LLM | None:
        settings = llm.get("settings") or {}
        if settings.get("response_format") or not self._takes_schema(llm, schema):
            return None
        # Not `strict`, which takes only some schemas; what comes is checked here.
        shape = {"name": "output", "schema": schema, "strict": False}
        return {**llm, "settings": {**settings, "response_format": {"type": "json_schema", "json_schema": shape}}}

    def _takes_schema(self, llm: LLM, schema: dict[str, Any]) -> bool:
        """Whether the model is one of OpenAI's that does; compatible servers may call no tools then."""
        old = llm["model"] == "gpt-4" or llm["model"].startswith(_WITHOUT_SCHEMAS)
        return schema.get("type") == "object" and self.is_at_home(llm) and not old

    def sdk(self) -> Any:
        import openai  # noqa: PLC0415

        return openai
