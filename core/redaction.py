"""Secrets are cut out of what is told and stored: error texts, tool results, events, audit details, log lines.

Whoever gets hold of a secret lets a `Redactor` learn it, and there are two for a whole process:

- `everywhere` knows what is the operator's: the server's keys and passwords, the variables that assistants may name.
- `in_logs` knows the secrets of workspaces too, as far as this process has used them. What belongs to one workspace is
  not cut out of another's texts: it could find out so what the other's secrets are.

A text is searched for each form by itself, which takes half of the time that one pattern of all of them does: 20 µs for
4 KB and 10 secrets, 2 µs where nothing has been learnt.
"""

import base64
import json
import re
from collections.abc import Iterator
from itertools import chain
from threading import Lock
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

# A shorter value is no key, and cutting it out would garble every text.
SHORTEST = 8
# A process that lives long meets many secrets of workspaces; those that it met first are forgotten first.
MOST = 1_000

_OWN_KEY = re.compile(r"sk_[0-9a-f]{12}_[0-9a-f]{40}")
_HEADERS = ("authorization", "x-api-key", "cookie", "bearer")
_NAME = r"(?:proxy-)?authorization|x-api-key|(?:set-)?cookie"
# As a mapping or a list of pairs shows them, quotes escaped or not: 'cookie': 'a=b', (b"cookie", b"a=b").
_QUOTED = re.compile(rf"(?i)((?P<q>\\?['\"])(?:{_NAME})(?P=q)\s*[:,=]\s*b?(?P<v>\\?['\"])).*?(?P<e>(?P=v))")
# As they are on the wire.
_PLAIN = re.compile(rf"(?i)(\b(?:{_NAME})\s*[:=]\s*)[^\s'\"\\][^\r\n'\"\\]*")
_BEARER = re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}")


class Redactor:
    """Puts `[label]` in the place of each secret that it has learnt, and of what the one `above` it has.

    Threads share it. `most` bounds how many it knows.
    """

    def __init__(self, above: "Redactor | None" = None, *, most: int = MOST):
        self._above = above
        self._most = most
        self._forms: dict[str, list[tuple[str, str]]] = {}
        self._needles: tuple[tuple[str, str], ...] = ()
        self._is_told_by_json = True
        self._lock = Lock()

    def learn(self, label: str, value: str) -> None:
        """Cut `value` out from now on, URL-encoded, JSON-escaped and in base64 too; a short one is left alone."""
        value = value.strip()
        if len(value) < SHORTEST or value in self._forms:
            return
        with self._lock:
            self._forms[value] = [(form, f"[{label}]") for form in dict.fromkeys(_forms(value))]
            while len(self._forms) > self._most:
                del self._forms[next(iter(self._forms))]
            # The longest first: one secret may be a part of another.
            self._needles = tuple(sorted(chain(*self._forms.values()), key=lambda needle: -len(needle[0])))
            # What JSON escapes may be escaped twice there.
            self._is_told_by_json = not any('"' in form or "\\" in form for form, _ in self._needles)

    def text(self, text: str) -> str:
        """`text` without secrets, and without what has the form of one of this server's keys."""
        if len(text) < SHORTEST:
            return text
        if self._above is not None:
            text = self._above.text(text)
        elif "sk_" in text:
            text = _OWN_KEY.sub("[key]", text)
        for needle, label in self._needles:
            if needle in text:
                text = text.replace(needle, label)
        return text

    def value(self, value: Any) -> Any:
        """The JSON `value` without secrets, at every depth and in its keys too; the same object where it has none."""
        if isinstance(value, dict | list) and not self._may_be_in(value):
            return value
        return self._walk(value)

    def _may_be_in(self, value: Any) -> bool:
        """Whether to look at each text of it: to look once at all of them as JSON costs a tenth of that."""
        try:
            written = orjson.dumps(value).decode()
        except TypeError:
            return True
        return self._may_be_within(written)

    def _may_be_within(self, written: str) -> bool:
        if not self._is_told_by_json or any(needle in written for needle, _ in self._needles):
            return True
        return "sk_" in written if self._above is None else self._above._may_be_within(written)

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._walk(key): self._walk(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._walk(item) for item in value]
        return value

    def line(self, line: str) -> str:
        """A log line without secrets, and without the values of headers that carry credentials."""
        line = self.text(line)
        lower = line.lower()
        if any(name in lower for name in _HEADERS):
            line = _QUOTED.sub(r"\1[redacted]\g<e>", line)
            line = _PLAIN.sub(r"\1[redacted]", line)
            line = _BEARER.sub(r"\1[redacted]", line)
        return line


def _forms(value: str) -> Iterator[str]:
    yield value
    yield from (quote(value, safe=safe, errors="replace") for safe in ("", "/"))
    yield quote_plus(value, errors="replace")
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    # Something may stand before it in the same base64, as in `Basic user:password`: the same bytes are then three
    # different texts, whose ends depend on the neighbours.
    raw = value.encode(errors="replace")
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).decode()
        sure = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        yield from (sure, sure.replace("+", "-").replace("/", "_"))


everywhere = Redactor()
in_logs = Redactor(everywhere)
