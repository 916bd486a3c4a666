"""Text: what models and tools return is cleaned, not refused; what a library says of a fault becomes a sentence."""

import inspect
from typing import Any

_CONTINUES = range(0x80, 0xC0)  # the bytes of UTF-8 that begin no character
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


def first_paragraph(documented: type) -> str:
    """What the docstring of a class says first, on one line."""
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")


def sentence(fault: str) -> str:
    """What pydantic says of a fault, as a sentence."""
    text = fault.removeprefix("Value error, ")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def whole_characters(piece: bytes, *, begins: bool) -> tuple[str, int]:
    """The text of a piece of UTF-8, and how many of its bytes are done with: a character that is cut off at its end
    belongs to the next piece. `begins`: it is the first one.

    Raises ValueError for what is no text.
    """
    start, end = 0, len(piece)
    while not begins and start < len(piece) and piece[start] in _CONTINUES:
        start += 1
    try:
        text = piece[start:].decode()
    except UnicodeDecodeError as cut:
        if cut.reason != "unexpected end of data":
            raise ValueError("It is not a text in UTF-8.") from None
        end = start + cut.start
        text = piece[start:end].decode()
    if "\0" in text:
        raise ValueError("It is not a text.")
    return text, end
