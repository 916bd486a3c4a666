"""Text: what models and tools return is cleaned, not refused; what a library says of a fault becomes a sentence."""

from typing import Any

_BAD = {0: "\ufffd"} | dict.fromkeys(range(55296, 57344), "�")


def clean(value: Any) -> Any:
    """`value` with NUL and lone surrogates, which PostgreSQL cannot store, as U+FFFD, at every depth."""
    if isinstance(value, str):
        # isascii is a flag lookup, and most text has neither.
        if value.isascii():
            return value.replace("\x00", "\ufffd") if "\x00" in value else value
        return value.translate(_BAD)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def sentence(fault: str) -> str:
    """What pydantic says of a fault, as a sentence."""
    text = fault.removeprefix("Value error, ")
    return text if text.endswith((".", "!", "?")) else f"{text}."
