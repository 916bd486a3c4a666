"""The providers of models, by the name that an assistant's `llm.provider` gives."""

from functools import cache
from pkgutil import resolve_name
from typing import Any

from runtime.providers.base import LLM, Problem, Provider
from runtime.secrets import NO_SECRETS, Secrets

# Entry strings: an integration costs a second or two to import, so only a process that uses it does.
_ENTRIES = {
    "anthropic": "runtime.providers.anthropic:AnthropicProvider",
    "fake": "runtime.providers.fake:FakeProvider",
    "openai": "runtime.providers.openai:OpenAIProvider",
}


def provider_names() -> list[str]:
    """The names, sorted."""
    return sorted(_ENTRIES)


@cache
def provider(name: str) -> Provider:
    """The provider called `name`; raises `LookupError`."""
    if name not in _ENTRIES:
        raise LookupError(f"There is no provider {name!r}; there are {', '.join(provider_names())}.")
    found: Provider = resolve_name(_ENTRIES[name])()
    return found


def is_at_home(llm: LLM) -> bool:
    """See `Provider.is_at_home`; no unknown provider's model is."""
    name = str(llm.get("provider"))
    return name in _ENTRIES and provider(name).is_at_home(llm)


def shaped(llm: LLM, schema: dict[str, Any]) -> LLM | None:
    """See `Provider.shaped`; None for an unknown provider."""
    name = str(llm.get("provider"))
    return provider(name).shaped(llm, schema) if name in _ENTRIES else None


def check_llm(llm: LLM, secrets: Secrets = NO_SECRETS) -> list[Problem]:
    """What is wrong with an `llm` block and its fallbacks, as far as it shows without a call. `secrets`: those that
    it may name."""
    try:
        chosen = provider(str(llm.get("provider")))
    except LookupError as error:
        return [Problem(("provider",), str(error.args[0]))]
    problems = chosen.check(llm, secrets)
    for index, fallback in enumerate(llm.get("fallbacks") or []):
        if fallback.get("fallbacks"):
            problems.append(Problem(("fallbacks", index, "fallbacks"), "A fallback has no fallbacks of its own."))
        problems += [
            Problem(("fallbacks", index, *problem.loc), problem.message, problem.environment)
            for problem in check_llm({**fallback, "fallbacks": None}, secrets)
        ]
    return problems
