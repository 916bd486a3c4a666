"""Which model, where, and with which parameters."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from assistants.config.blocks import Block, Name, Number, Reference, Url


class ModelConfig(Block):
    """A model of a provider, with its inference parameters. What is null is left to the provider."""

    provider: Name = Field(description="`openai` (also for compatible servers at `base_url`), `anthropic`, `fake`.")
    model: Name
    temperature: Number | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1)
    top_p: Number | None = Field(default=None, ge=0, le=1)
    stop_sequences: list[Annotated[str, StringConstraints(min_length=1, max_length=1_000)]] = Field(
        default_factory=list, max_length=64
    )
    base_url: Url | None = Field(default=None, description="Another server than the provider's own.")
    api_key_env: Reference | None = Field(
        default=None,
        description="The environment variable that holds the key (the server allows its prefix), or `secret:<name>` "
        "for a secret of the workspace.",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The provider's own settings.")


class LLMConfig(ModelConfig):
    """The assistant's model, and those that are asked in its stead, in this order, when it fails."""

    fallbacks: list[ModelConfig] = Field(default_factory=list, max_length=8)
