"""The environment, read once and typed. The names are documented in `docs/configuration.md`."""

import os
import re
import secrets
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path

from config.mail import MailServer, read_mail_url
from runtime.langgraph_json import BadLangGraphJsonError, LangGraphConfig, read_config
from runtime.prices import NO_PRICES, Prices, read_prices

BASE_DIR = Path(__file__).resolve().parent.parent


class BadEnvironment(SystemExit):
    """A setting that cannot work: one line that says what to do, and the process ends."""


def _integer(name: str, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise BadEnvironment(f"{name} must be a whole number, not {text!r}.") from None
    if value < minimum:
        raise BadEnvironment(f"{name} must be at least {minimum}, not {value}.")
    if maximum is not None and value > maximum:
        raise BadEnvironment(f"{name} must be at most {maximum}, not {value}.")
    return value


def _flag(name: str, default: bool = False) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text in {"", "0", "false", "no", "off"}:
        return default if text == "" else False
    if text in {"1", "true", "yes", "on"}:
        return True
    raise BadEnvironment(f"{name} must be true or false, not {text!r}.")


def _text(name: str) -> str:
    return os.environ.get(name, "").strip()


def _choice(name: str, *choices: str) -> str:
    text = _text(name).lower()
    if text not in choices:
        raise BadEnvironment(f"{name} must be {' or '.join(filter(None, choices))}, or not set, not {text!r}.")
    return text


def _list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def _seconds(name: str, default: str) -> list[int]:
    items = _list(name, default)
    if not all(item.isdigit() and int(item) <= 7 * 86_400 for item in items) or len(items) > 20:
        raise BadEnvironment(f"{name} must be up to 20 whole numbers of seconds, each at most a week: 5,300,1800.")
    return [int(item) for item in items]


def _folders(name: str) -> list[str]:
    """Absolute paths of folders."""
    folders = _list(name)
    for folder in folders:
        if not os.path.isabs(folder) or ".." in Path(folder).parts:
            raise BadEnvironment(f"{name} must hold absolute paths of folders, without '..'; not {folder!r}.")
    return folders


def _keys(name: str) -> list[str]:
    keys = _list(name)
    if any(len(key) < 32 for key in keys):
        raise BadEnvironment(f"{name} must hold keys of 32 characters or more, separated by commas.")
    return keys


def _origins(name: str) -> list[str]:
    """Origins as browsers write them, or `*`."""
    origins = _list(name)
    for origin in origins:
        if origin != "*" and not re.fullmatch(
            r"https?://[a-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", origin
        ):
            raise BadEnvironment(
                f"{name} must hold origins such as https://app.example.com, without a path and in lower case, or *; "
                f"not {origin!r}."
            )
    return origins


def _prefix(name: str) -> str:
    """The path that everything is under, without a slash at its end; empty for none."""
    prefix = os.environ.get(name, "").rstrip("/")
    if prefix and not re.fullmatch(r"(/[A-Za-z0-9._-]*[A-Za-z0-9_-])+", prefix):
        raise BadEnvironment(f"{name} must be a path such as /agents-api, not {prefix!r}.")
    return prefix


def _proxies(name: str, default: str) -> list[str]:
    """Addresses and networks, or `*`."""
    proxies = _list(name, default)
    for proxy in proxies:
        try:
            _ = proxy == "*" or ip_network(proxy)
        except ValueError:
            raise BadEnvironment(
                f"{name} must hold addresses and networks such as 10.0.0.0/8, not {proxy!r}."
            ) from None
    return proxies


def _public_url(name: str) -> str:
    """The scheme, host and port that people use, in lower case; empty for none."""
    url = os.environ.get(name, "").strip().lower().rstrip("/")
    if url and not re.fullmatch(r"https?://([a-z0-9.\-]+|\[[0-9a-f:]+\])(:\d{1,5})?", url):
        raise BadEnvironment(
            f"{name} must be an address such as https://agents.example.com, without a path (MOUNT_PREFIX has that); "
            f"not {url!r}."
        )
    # As browsers write it in an Origin.
    return url.removesuffix(":443" if url.startswith("https:") else ":80")


def _mail_server(name: str) -> MailServer | None:
    try:
        return read_mail_url(_text(name))
    except ValueError as fault:
        raise BadEnvironment(f"{name} {fault}.") from None


def _addresses(name: str) -> list[str]:
    """E-mail addresses, without names."""
    addresses = _list(name)
    for address in addresses:
        if not re.fullmatch(r"[^@\s<>\",;]+@[A-Za-z0-9.\-]+", address):
            raise BadEnvironment(f"{name} must hold addresses such as ops@example.com, not {address!r}.")
    return addresses


def _address(name: str) -> str:
    """One of them; empty for none."""
    addresses = _addresses(name)
    if len(addresses) > 1:
        raise BadEnvironment(f"{name} must be one address, not {len(addresses)}.")
    return next(iter(addresses), "")


def _prices(name: str) -> Prices:
    """The table in the file that is named; none without one."""
    path = _text(name)
    try:
        return read_prices(Path(path).read_text()) if path else NO_PRICES
    except (OSError, ValueError) as fault:
        raise BadEnvironment(f"{name}: {fault}") from None


def _langgraph() -> LangGraphConfig:
    """The graphs to host, and what belongs to them."""
    path, graphs = _text("AGENT_SERVER_LANGGRAPH"), _text("AGENT_SERVER_GRAPHS")
    try:
        return read_config(path, graphs, Path.cwd())
    except BadLangGraphJsonError as fault:
        raise BadEnvironment(f"{'AGENT_SERVER_LANGGRAPH' if path else 'AGENT_SERVER_GRAPHS'}: {fault}.") from None


@dataclass(frozen=True)
class Environment:
    """Every variable the server reads. Sizes are bytes, durations seconds."""

    data_dir: Path = field(default_factory=lambda: Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").absolute())
    host: str = field(default_factory=lambda: os.environ.get("HOST") or "127.0.0.1")
    port: int = field(default_factory=lambda: _integer("PORT", 8000, 1))
    database_url: str = field(default_factory=lambda: os.environ.get("DATABASE_URL", ""))
    database_direct_url: str = field(default_factory=lambda: os.environ.get("DATABASE_DIRECT_URL", ""))
    redis_url: str = field(default_factory=lambda: os.environ.get("REDIS_URL", ""))
    redis_key_prefix: str = field(default_factory=lambda: os.environ.get("REDIS_KEY_PREFIX") or "agent-server")
    production: bool = field(default_factory=lambda: _choice("AGENT_SERVER_ENV", "", "production") == "production")
    debug: bool = field(default_factory=lambda: _flag("DEBUG"))
    bootstrap_key: str = field(default_factory=lambda: os.environ.get("AGENT_SERVER_BOOTSTRAP_KEY", ""))
    encryption_keys: list[str] = field(default_factory=lambda: _keys("AGENT_SERVER_ENCRYPTION_KEYS"))
    admin_password: str = field(default_factory=lambda: os.environ.get("AGENT_SERVER_ADMIN_PASSWORD", ""))
    auth_hook: str = field(default_factory=lambda: _text("AGENT_SERVER_AUTH"))
    oidc_issuer: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_ISSUER"))
    oidc_audience: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_AUDIENCE"))
    oidc_jwks_url: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_JWKS_URL"))
    oidc_workspace: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_WORKSPACE"))
    oidc_workspace_claim: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_WORKSPACE_CLAIM"))
    oidc_role_claim: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_ROLE_CLAIM"))
    oidc_default_role: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_DEFAULT_ROLE"))
    oidc_user_claim: str = field(default_factory=lambda: _text("AGENT_SERVER_OIDC_USER_CLAIM"))
    workers: int = field(default_factory=lambda: _integer("AGENT_SERVER_WORKERS", 2))
    jobs_per_worker: int = field(default_factory=lambda: _integer("N_JOBS_PER_WORKER", 10))
    max_pending_runs: int = field(default_factory=lambda: _integer("AGENT_SERVER_MAX_PENDING_RUNS", 100_000, 1))
    max_schedules: int = field(default_factory=lambda: _integer("AGENT_SERVER_MAX_SCHEDULES", 10_000, 1))
    workspace_limits: str = field(default_factory=lambda: os.environ.get("AGENT_SERVER_WORKSPACE_LIMITS", ""))
    webhooks: bool = field(default_factory=lambda: _flag("AGENT_SERVER_WEBHOOKS", default=True))
    webhook_retry_s: list[int] = field(
        default_factory=lambda: _seconds("AGENT_SERVER_WEBHOOK_RETRY_SECONDS", "5,300,1800,7200,18000,36000")
    )
    webhook_log_days: int = field(
        default_factory=lambda: _integer("AGENT_SERVER_WEBHOOK_LOG_DAYS", 30, minimum=1, maximum=36_500)
    )
    stuck_queue_s: int = field(
        default_factory=lambda: _integer("AGENT_SERVER_STUCK_QUEUE_SECONDS", 300, maximum=7 * 86_400)
    )
    missing_workers_s: int = field(
        default_factory=lambda: _integer("AGENT_SERVER_MISSING_WORKERS_SECONDS", 60, maximum=7 * 86_400)
    )
    email_server: MailServer | None = field(default_factory=lambda: _mail_server("AGENT_SERVER_EMAIL_URL"))
    email_from: str = field(default_factory=lambda: _address("AGENT_SERVER_EMAIL_FROM"))
    alert_emails: list[str] = field(default_factory=lambda: _addresses("AGENT_SERVER_ALERT_EMAILS"))
    url_allowlist: list[str] = field(default_factory=lambda: _list("AGENT_SERVER_URL_ALLOWLIST"))
    secret_env_prefixes: list[str] = field(
        default_factory=lambda: _list("AGENT_SERVER_SECRET_ENV_PREFIXES", "OPENAI_,ANTHROPIC_,MCP_,AGENT_SECRET_")
    )
    provider_limits: str = field(default_factory=lambda: os.environ.get("AGENT_SERVER_PROVIDER_LIMITS", ""))
    prices: Prices = field(default_factory=lambda: _prices("AGENT_SERVER_PRICES"))
    secret_hosts: list[str] = field(default_factory=lambda: _list("AGENT_SERVER_SECRET_HOSTS"))
    mcp_commands: list[str] = field(default_factory=lambda: _list("AGENT_SERVER_MCP_COMMANDS"))
    file_read_roots: list[str] = field(default_factory=lambda: _folders("FILE_READ_ROOTS"))
    agent_modules: list[str] = field(default_factory=lambda: _list("AGENT_SERVER_AGENTS"))
    langgraph: LangGraphConfig = field(default_factory=_langgraph)
    max_body_bytes: int = field(default_factory=lambda: _integer("HTTP_MAX_REQUEST_BODY_BYTES", 10_485_760, 1))
    head_timeout_s: int = field(default_factory=lambda: _integer("AGENT_SERVER_HEAD_TIMEOUT_S", 30, 1, 3_600))
    body_timeout_s: int = field(default_factory=lambda: _integer("AGENT_SERVER_BODY_TIMEOUT_S", 120, 1, 86_400))
    # At least what a reference to an artifact shows of it.
    tool_result_max_bytes: int = field(
        default_factory=lambda: _integer("TOOL_RESULT_MAX_BYTES", 65_536, minimum=16_384, maximum=10_485_760)
    )
    grace_period_s: int = field(default_factory=lambda: _integer("BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS", 180))
    session_retention_days: int = field(
        # A hundred years: PostgreSQL's calendar does not go back for any number of days.
        default_factory=lambda: _integer("AGENT_SERVER_SESSION_RETENTION_DAYS", 0, maximum=36_500)
    )
    keep_latest_days: int = field(default_factory=lambda: _integer("AGENT_SERVER_KEEP_LATEST_DAYS", 0, maximum=36_500))
    schedule_history_days: int = field(
        default_factory=lambda: _integer("AGENT_SERVER_SCHEDULE_HISTORY_DAYS", 30, maximum=36_500)
    )
    # 0: not set; then runs have an hour, and may ask for more.
    run_timeout_s: int = field(
        default_factory=lambda: _integer("BG_JOB_TIMEOUT_SECS", 0, minimum=1, maximum=30 * 86_400)
    )
    run_attempts: int = field(default_factory=lambda: _integer("BG_JOB_MAX_RETRIES", 3, minimum=1, maximum=100))
    # A C call that holds the GIL stops the heartbeat's thread too, so the lease leaves room for a long one.
    lease_s: int = field(default_factory=lambda: _integer("BG_JOB_HEARTBEAT", 15, minimum=15, maximum=3_600))
    mount_prefix: str = field(default_factory=lambda: _prefix("MOUNT_PREFIX"))
    public_url: str = field(default_factory=lambda: _public_url("AGENT_SERVER_PUBLIC_URL"))
    forwarded_allow_ips: list[str] = field(default_factory=lambda: _proxies("FORWARDED_ALLOW_IPS", "127.0.0.1"))
    cors_origins: list[str] = field(default_factory=lambda: _origins("CORS_ALLOW_ORIGINS"))
    loop_hang_s: int = field(default_factory=lambda: _integer("AGENT_SERVER_LOOP_HANG_S", 30, 1))
    log_json: bool = field(default_factory=lambda: _flag("LOG_JSON"))
    log_level: str = field(default_factory=lambda: os.environ.get("LOG_LEVEL", "INFO").upper())

    def oidc_settings(self) -> dict[str, str]:
        """What is said about the issuer of tokens, by the variables' names."""
        return {
            f"AGENT_SERVER_{each.name.upper()}": getattr(self, each.name)
            for each in fields(self)
            if each.name.startswith("oidc_")
        }

    def secret_key(self) -> str:
        """`SECRET_KEY`, or the one made once in the data folder.

        Raises `BadEnvironment` where the folder cannot be written.
        """
        if key := os.environ.get("SECRET_KEY"):
            return key
        path = self.data_dir / "secret_key"
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    file.write(secrets.token_urlsafe(48))
            except FileExistsError:
                pass
            return path.read_text()
        except OSError as fault:
            raise BadEnvironment(
                f"Cannot write {self.data_dir} ({fault.strerror}). Set DATA_DIR to a folder of your own, "
                "or SECRET_KEY, DATABASE_URL and REDIS_URL."
            ) from None


ENV = Environment()
