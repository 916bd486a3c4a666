"""The mail server, as `AGENT_SERVER_EMAIL_URL` names it."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = {"smtp": 587, "smtps": 465}
SHAPE = "smtp://user:password@host:587"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over. `starttls`: TLS from the greeting on; `tls`: from the first byte."""

    host: str
    port: int
    user: str
    password: str
    starttls: bool
    tls: bool


def read_mail_url(url: str) -> MailServer | None:
    """The server of a URL; None for an empty one.

    `smtp://` turns to TLS after the greeting (STARTTLS) and refuses a server that does not, but with `?tls=none`;
    `smtps://` is TLS from the first byte. What is special in a name or a password is percent-encoded. Raises ValueError
    with what is wrong, which names no password.
    """
    if not url:
        return None
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number up to 65535") from None
    if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError(f"must be like {SHAPE}, or smtps:// for TLS from the first byte")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options and (options != {"tls": "none"} or parts.scheme == "smtps"):
        raise ValueError("knows one option, ?tls=none, and that with smtp:// only")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have both a user and a password, or neither")
    is_plain = bool(options)
    return MailServer(
        host=parts.hostname,
        port=port or (25 if is_plain else SCHEMES[parts.scheme]),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=parts.scheme == "smtp" and not is_plain,
        tls=parts.scheme == "smtps",
    )
