"""What tokens cost: USD for a million of them.

The built-in table holds what OpenAI and Anthropic said on their price pages in November 2026
(https://developers.openai.com/api/docs/pricing, https://platform.claude.com/docs/en/about-claude/pricing), for calls
to these providers' own addresses. A model that is in no table has no price, and its calls no cost.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from runtime.contract import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens; cached input costs what other input does where nothing else is said.

    `long` is the price of a whole call whose input has more than `long_from` tokens.
    """

    input: float
    output: float
    cached_input: float | None = None
    long_from: int = 0
    long: "Price | None" = None

    def cost(self, usage: Usage, cached_tokens: int = 0) -> float:
        """USD for one call, of whose input so many tokens came out of the provider's cache."""
        if self.long is not None and usage.input_tokens > self.long_from:
            return self.long.cost(usage, cached_tokens)
        cached = min(cached_tokens, usage.input_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        fresh = usage.input_tokens - cached
        return round((fresh * self.input + cached * cached_price + usage.output_tokens * self.output) / MILLION, 8)


Prices = Mapping[str, Price]
NO_PRICES: Prices = {}


def price_of(provider: str, model: str, own: Prices = NO_PRICES, *, at_home: bool = True) -> Price | None:
    """The price of a model; None where it is not known.

    The longest name that fits counts. One in `own`, a deployment's table, fits every model whose name begins with it;
    one in the built-in table its dated versions only (`gpt-4o-2024-08-06`), because what else begins like it may cost
    anything. `at_home`: the model is called at its provider's, so the built-in prices hold.
    """
    name = f"{provider}/{model}"
    known = own.get(name) or (BUILT_IN.get(name) if at_home else None)
    if known is not None:
        return known
    fitting = {key: own[key] for key in own if name.startswith(key)}
    if at_home and (base := _DATE.sub("", name)) in BUILT_IN:
        fitting = {base: BUILT_IN[base], **fitting}
    return fitting[max(fitting, key=len)] if fitting else None


def read_prices(text: str) -> Prices:
    """A deployment's own table, as JSON: {"provider/model": {"input", "output", "cached_input"}}.

    Raises ValueError, whose message says what is wrong.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"It is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise ValueError('It must be an object, as in {"openai/gpt-4o": {"input": 2.5, "output": 10}}.')
    return {name: _price(name, given) for name, given in document.items()}


def _price(name: str, given: Any) -> Price:
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        raise ValueError(f"{name!r} must be a provider and a model, as in openai/gpt-4o.")
    if not isinstance(given, dict) or not {"input", "output"} <= given.keys() <= {"input", "output", "cached_input"}:
        raise ValueError(f"{name!r} must have input and output, and may have cached_input: USD for a million tokens.")
    for kind, value in given.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not (isfinite(value) and value >= 0):
            raise ValueError(f"{kind} of {name!r} must be a number of USD, not {json.dumps(value)}.")
    return Price(**given)


_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")

_OPUS = Price(5, 25, 0.5)
_OLD_OPUS = Price(15, 75, 1.5)
_SONNET = Price(3, 15, 0.3)
_GPT_5 = Price(1.25, 10, 0.125)
_GPT_5_2 = Price(1.75, 14, 0.175)

BUILT_IN: Prices = {
    "openai/gpt-5.5": Price(5, 30, 0.5, 272_000, Price(10, 45, 1)),
    "openai/gpt-5.4": Price(2.5, 15, 0.25, 272_000, Price(5, 22.5, 0.5)),
    "openai/gpt-5.4-mini": Price(0.75, 4.5, 0.075),
    "openai/gpt-5.4-nano": Price(0.2, 1.25, 0.02),
    "openai/gpt-5.2": _GPT_5_2,
    "openai/gpt-5.2-chat": _GPT_5_2,
    "openai/gpt-5.1": _GPT_5,
    "openai/gpt-5.1-chat": _GPT_5,
    "openai/gpt-5": _GPT_5,
    "openai/gpt-5-chat": _GPT_5,
    "openai/gpt-5-mini": Price(0.25, 2, 0.025),
    "openai/gpt-5-nano": Price(0.05, 0.4, 0.005),
    "openai/gpt-4.1": Price(2, 8, 0.5),
    "openai/gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "openai/gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "openai/gpt-4o": Price(2.5, 10, 1.25),
    "openai/gpt-4o-2024-05-13": Price(5, 15),
    "openai/gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "openai/o3": Price(2, 8, 0.5),
    "openai/o4-mini": Price(1.1, 4.4, 0.275),
    "openai/o3-mini": Price(1.1, 4.4, 0.55),
    "openai/o1": Price(15, 60, 7.5),
    "openai/gpt-4-turbo": Price(10, 30),
    "anthropic/claude-fable-5-1": Price(10, 50, 0.25),
    "anthropic/claude-fable-5": Price(10, 50, 1),
    "anthropic/claude-opus-5-5": Price(4, 20, 0.2),
    "anthropic/claude-opus-5": _OPUS,
    "anthropic/claude-opus-4-8": _OPUS,
    "anthropic/claude-opus-4-7": _OPUS,
    "anthropic/claude-opus-4-6": _OPUS,
    "anthropic/claude-opus-4-5": _OPUS,
    "anthropic/claude-opus-4-1": _OLD_OPUS,
    "anthropic/claude-opus-4-0": _OLD_OPUS,
    "anthropic/claude-opus-4": _OLD_OPUS,
    "anthropic/claude-sonnet-5-5": Price(2, 10, 0.1),
    "anthropic/claude-sonnet-5": Price(2, 10, 0.2),
    "anthropic/claude-sonnet-4-6": _SONNET,
    "anthropic/claude-sonnet-4-5": _SONNET,
    "anthropic/claude-sonnet-4-0": _SONNET,
    "anthropic/claude-sonnet-4": _SONNET,
    "anthropic/claude-haiku-5-5": Price(0.1, 0.5, 0.01, 100_000, Price(0.5, 2.5, 0.05)),
    "anthropic/claude-haiku-4-5": Price(1, 5, 0.1),
    "anthropic/claude-3-5-haiku": Price(0.8, 4, 0.08),
}
