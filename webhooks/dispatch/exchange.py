"""One try: a POST through the URL guard, and what came back, in bounded time and bytes."""

import asyncio
from dataclasses import dataclass, field

import httpx2

from core.text import clean
from core.url_guard import BlockedUrl, UrlGuard

# Of an answer so much is read, and so much of it kept.
READ_BYTES, KEPT_BYTES = 64 * 1024, 16 * 1024
MOST_HEADERS, LONGEST_HEADER = 40, 500
_HIDDEN = "set-cookie"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of it. `status` is None where no answer came; then `error` says why."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    error: str = ""
    duration_ms: float = 0


async def post(guard: UrlGuard, url: str, headers: dict[str, str], body: bytes, *, timeout_s: float) -> Exchange:
    """Send it; at most `timeout_s` seconds in all, redirects are answers.

    An answer counts from its status on: of a body that is too long or breaks off, what was read is kept.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    status, answered, content, error = None, {}, b"", ""
    try:
        guard.check(url)
        async with (
            guard.client(timeout_s=timeout_s, max_seconds=timeout_s) as client,
            client.stream("POST", url, headers=headers, content=body) as response,
        ):
            status, answered = response.status_code, _shown(response.headers)
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) >= READ_BYTES:
                    break
    except BlockedUrl as blocked:
        error = f"Refused: {blocked.message}"
    except httpx2.TimeoutException:
        error = f"No answer within {timeout_s:g} seconds."
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as fault:
        error = f"{type(fault).__name__}: {fault}"
    text = content[:KEPT_BYTES].decode(errors="replace")
    return Exchange(status, answered, clean(text), error if status is None else "", (loop.time() - began) * 1_000)


def _shown(headers: httpx2.Headers) -> dict[str, str]:
    shown = list(headers.items())[:MOST_HEADERS]
    return {name: "[cut]" if name.lower() == _HIDDEN else clean(value[:LONGEST_HEADER]) for name, value in shown}
