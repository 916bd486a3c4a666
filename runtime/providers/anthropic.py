"""Anthropic, and servers that speak its Messages API."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr

from runtime.errors import MediaNotSupported
from runtime.providers.access import ANTHROPIC, access
from runtime.providers.base import LLM, Part, described, text_of
from runtime.providers.connection import http_client
from runtime.providers.http import HTTPProvider, HTTPSettings
from runtime.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel


class AnthropicSettings(HTTPSettings):
    """Passed on as they are, but for `timeout_s`."""

    top_k: int | None = Field(default=None, ge=0)
    thinking: dict[str, Any] | None = None


class AnthropicProvider(HTTPProvider):
    name = "anthropic"
    Settings = AnthropicSettings
    home = ANTHROPIC

    def media(self, part: Part) -> Part:
        mime_type = part.get("mime_type", "")
        match part["type"], "base64" in part:
            case ("image", _) | ("file", False):
                return part
            case "file", True if mime_type == "application/pdf":
                return part
            case "file", True if mime_type.startswith("text/"):
                return {"type": "text-plain", "mime_type": "text/plain", "text": text_of(part)}
        raise MediaNotSupported(
            f"anthropic takes images, files by url, and files as base64 of the type application/pdf or of text; "
            f"not {described(part)}."
        )

    def build(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> "BaseChatModel":
        from runtime.providers.anthropic_model import Messages  # noqa: PLC0415  (takes a second to import)

        settings = AnthropicSettings.model_validate(llm.get("settings") or {})
        reached = access(llm, self.home, secrets)
        # A dict, because the type checker knows only the aliases, which the defaults overlook.
        options: dict[str, Any] = {
            "model": llm["model"],
            "base_url": reached.base_url,
            "api_key": SecretStr(reached.key),
            "temperature": llm.get("temperature"),
            "max_tokens": llm.get("max_tokens"),
            "top_p": llm.get("top_p"),
            "top_k": settings.top_k,
            "stop_sequences": llm.get("stop_sequences") or None,
            "thinking": settings.thinking,
            "timeout": settings.timeout_s,
            "http_client": http_client(reached, ("x-api-key", reached.key), settings.timeout_s),
            # The server's own policy retries, and a proxy of the environment would lead past the guard.
            "max_retries": 0,
            "anthropic_proxy": None,
        }
        return Messages(**options)

    def sdk(self) -> Any:
        import anthropic  # noqa: PLC0415

        return anthropic
