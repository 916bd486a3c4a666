"""Which key goes to which address.

A key is sent only where its owner means it to go, for whoever writes an assistant chooses the address but
must not learn the server's keys by it:

- A provider's own variable (`OPENAI_API_KEY`) goes to that provider's own address, and to the one that the
  operator has set in the environment (`OPENAI_BASE_URL`), nowhere else.
- Any other variable must be named in `api_key_env` and begin with an allowed prefix.
- A variable that the operator has bound to hosts goes to these only, whatever else would hold.
- A secret of the workspace (`secret:<name>`) goes to its own hosts only.
- Any other address gets a placeholder, which local model servers want to see.
"""

import os
import re
from dataclasses import dataclass

import httpx2

from core.redaction import everywhere, in_logs
from core.url_guard import Allowlist, BlockedUrl, UrlGuard, host_and_port
from runtime.configuration import current
from runtime.errors import AgentError, MissingSecret, ModelError
from runtime.providers.base import LLM, Problem
from runtime.secrets import NO_SECRETS, Secrets, name_in

PLACEHOLDER = "not-needed"
# A header can hold no more, and a library that is given anything else quotes it in its error.
_SENDABLE = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class Home:
    """A provider's own place: its key's variable, its addresses (the first is the default one), and the
    variable by which an operator sends all its calls elsewhere."""

    key_variable: str
    addresses: tuple[str, ...]
    address_variable: str

    def owns(self, url: str) -> bool:
        """Whether `url` is on one of the provider's own addresses or the operator's."""
        own = [*self.addresses, *filter(None, [os.environ.get(self.address_variable)])]
        return _origin(url) in [_origin(address) for address in own]


OPENAI = Home(
    "OPENAI_API_KEY",
    ("https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://us.api.openai.com/v1"),
    "OPENAI_BASE_URL",
)
ANTHROPIC = Home("ANTHROPIC_API_KEY", ("https://api.anthropic.com",), "ANTHROPIC_BASE_URL")
_HOMES = {home.key_variable: home for home in (OPENAI, ANTHROPIC)}


@dataclass(frozen=True, slots=True)
class Access:
    """Where a model is called and with which key.

    `official`: at the provider itself; `own`: there or where the operator sends all calls instead.
    """

    base_url: str
    key: str
    official: bool
    own: bool


def access(llm: LLM, home: Home, secrets: Secrets = NO_SECRETS) -> Access:
    """The address and the key for `llm`; raises `MissingSecret`, or `ModelError` for the address."""
    found = _resolve(llm, home, secrets)
    if isinstance(found, Problem):
        kind: type[AgentError] = ModelError if found.loc == ("base_url",) else MissingSecret
        raise kind(found.message)
    return found


def check_access(llm: LLM, home: Home, secrets: Secrets = NO_SECRETS) -> list[Problem]:
    """What keeps `llm` from being called."""
    found = _resolve(llm, home, secrets)
    return [found] if isinstance(found, Problem) else []


def named_secret(reference: str, url: str, secrets: Secrets = NO_SECRETS) -> str:
    """The value that an assistant names for its calls to `url`: of a variable, or of one of `secrets`.

    Raises `MissingSecret` where it is not sent there or not set.
    """
    value, refusal = _held(reference, url, secrets, is_named=True)
    if refusal or not value:
        raise MissingSecret(refusal or _unset(reference))
    return value


def guard() -> UrlGuard:
    """The guard of the model calls: the operator's own addresses are open to them."""
    operators = [os.environ.get(home.address_variable) for home in _HOMES.values()]
    entries = [_entry(address) for address in operators if address]
    return UrlGuard([*current().url_allowlist, *entries])


def _resolve(llm: LLM, home: Home, secrets: Secrets) -> Access | Problem:
    url = llm.get("base_url") or os.environ.get(home.address_variable) or home.addresses[0]
    named = llm.get("api_key_env")
    try:
        guard().check(url)
    except BlockedUrl as error:
        return Problem(("base_url",), error.message, environment=not llm.get("base_url"))
    official = _origin(url) in [_origin(address) for address in home.addresses]
    own = home.owns(url)
    reference = named or (home.key_variable if own else None)
    if reference is None:
        return Access(url, PLACEHOLDER, official, own)
    key, refusal = _held(reference, url, secrets, is_named=bool(named))
    if refusal:
        return Problem(("api_key_env",), refusal)
    if not key and (named or official):
        return Problem(("api_key_env",), _unset(reference), environment=True)
    return Access(url, key or PLACEHOLDER, official, own)


def _held(reference: str, url: str, secrets: Secrets, *, is_named: bool) -> tuple[str, str | None]:
    """What the reference stands for, "" for nothing, and why it is not sent to `url` if it is not."""
    name = name_in(reference)
    value, refusal = (
        (os.environ.get(reference, ""), _refusal(reference, url, is_named=is_named))
        if name is None
        else _of_workspace(name, url, secrets)
    )
    value = value.strip()
    (everywhere if name is None else in_logs).learn(reference, value)
    if refusal is None and not _SENDABLE.fullmatch(value):
        refusal = f"What {reference} holds cannot be sent as a key: it has blanks or other than ASCII characters."
    return value, refusal


def _of_workspace(name: str, url: str, secrets: Secrets) -> tuple[str, str | None]:
    secret = secrets.get(name)
    if secret is None:
        return "", f"The workspace has no secret {name!r}."
    if not secret.value:
        return "", f"The secret {name!r} cannot be read: no key of this server opens it."
    host, port = host_and_port(httpx2.URL(url))
    if not Allowlist(secret.hosts).opens(host, port):
        return "", f"The secret {name!r} is not sent to {host}."
    return secret.value, None


def _refusal(variable: str, url: str, *, is_named: bool) -> str | None:
    settings = current()
    if is_named and not variable.startswith(settings.secret_env_prefixes):
        return f"{variable} may not be named: it must begin with one of {', '.join(settings.secret_env_prefixes)}."
    host, port = host_and_port(httpx2.URL(url))
    bound = settings.secret_bindings.get(variable)
    if bound is not None:
        return None if bound.opens(host, port) else f"{variable} is not sent to {host}."
    home = _HOMES.get(variable)
    if home is not None and not home.owns(url):
        return f"{variable} is sent to its provider's own address only, not to {host}."
    return None


def _unset(variable: str) -> str:
    return f"The environment variable {variable} is not set."


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parsed = httpx2.URL(url)
        return (parsed.scheme, *host_and_port(parsed))
    except (httpx2.InvalidURL, KeyError):
        return None


def _entry(url: str) -> str:
    origin = _origin(url)
    if origin is None:
        return ""
    _, host, port = origin
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
