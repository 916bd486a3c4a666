"""How the settings of middleware name a model that it asks by itself, beside the assistant's own."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import AgentSpec

if TYPE_CHECKING:
    from runtime.middleware.own_model import OwnModel


class ModelSettings(BaseModel):
    """A model, as an assistant's `llm` names it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: list[str] = Field(default_factory=list, max_length=64)
    base_url: str | None = Field(default=None, max_length=2_000)
    api_key_env: str | None = Field(default=None, max_length=128)
    settings: dict[str, Any] = Field(default_factory=dict)


class OwnModelSettings(ModelSettings):
    """The model, and those that are asked in its stead when it fails."""

    fallbacks: list[ModelSettings] = Field(default_factory=list, max_length=8)


def own_model(llm: OwnModelSettings | None, spec: AgentSpec) -> "OwnModel":
    """The model of the settings, ready to be asked; None is the assistant's without its tools."""
    # A web server reads settings and asks no model: it does not import langchain.
    from runtime.middleware.own_model import OwnModel  # noqa: PLC0415  (slow)

    return OwnModel(spec.config["llm"] if llm is None else llm.model_dump(), spec.secrets)
