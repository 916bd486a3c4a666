"""Django's settings: composition only. What a deployment may change is read in `config/env.py`."""

import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django_stubs_ext
from kombu import Exchange, Queue

from accounts.limits import Limits
from accounts.limits import read_limits as read_caller_limits
from config.env import BASE_DIR, ENV, BadEnvironment
from runtime.providers.limits import Limit, read_limits

django_stubs_ext.monkeypatch()


def _database(url: str) -> dict[str, Any]:
    """Django's form of a PostgreSQL URL; `?host=/socket/folder` and other libpq options pass through."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadEnvironment(f"DATABASE_URL must start with postgresql://, not {parts.scheme or url!r}://.")
    try:
        port = parts.port
    except ValueError as fault:
        raise BadEnvironment(f"DATABASE_URL does not work: {fault}.") from None
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": str(port or options.pop("port", "")),
        # One thread serves one request and then ends: connections live in a pool, not in the thread.
        # `reconnect_timeout`: see `core.db.POOL_WAIT_S`.
        "OPTIONS": {**options, "pool": {"min_size": 1, "max_size": 20, "timeout": 4, "reconnect_timeout": 4}},
    }


def _embedded(name: str) -> str:
    """The address that `serve` left in the data folder for the roles and commands beside it."""
    path = ENV.data_dir / f"{name}.url"
    return path.read_text().strip() if path.is_file() else ""


def _host_name(host: str) -> str:
    """As in a Host header."""
    return f"[{host}]" if ":" in host else host


def _provider_limits(text: str) -> dict[str, Limit]:
    try:
        return read_limits(text)
    except ValueError as fault:
        raise BadEnvironment(f"AGENT_SERVER_PROVIDER_LIMITS: {fault}") from None


def _workspace_limits(text: str) -> Limits:
    try:
        return read_caller_limits(text)
    except ValueError as fault:
        raise BadEnvironment(f"AGENT_SERVER_WORKSPACE_LIMITS: {fault}.") from None


DATABASE_URL = ENV.database_url or _embedded("postgres") or "postgresql://postgres@127.0.0.1:5432/postgres"
DATABASE_DIRECT_URL = ENV.database_direct_url or DATABASE_URL
REDIS_URL = ENV.redis_url or _embedded("redis") or "redis://127.0.0.1:6379/0"

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key()
# The first one encrypts the workspaces' secrets, all of them decrypt.
ENCRYPTION_KEYS = ENV.encryption_keys or [SECRET_KEY]
# The address that people use, where it is told; then no other name is answered, but for those of this machine.
PUBLIC_URL = ENV.public_url
_PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname
ALLOWED_HOSTS = (
    [_host_name(_PUBLIC_HOST), "localhost", "127.0.0.1", "[::1]", _host_name(ENV.host)] if _PUBLIC_HOST else ["*"]
)
OVER_HTTPS = PUBLIC_URL.startswith("https:")
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
DATA_UPLOAD_MAX_MEMORY_SIZE = ENV.max_body_bytes

_COMMAND = sys.argv[1] if len(sys.argv) > 1 else ""
# Those whose processes show nobody a page: the admin's own, and the views that these use, are a fifth of a start.
_PAGELESS = {"serve", "bootstrap", "worker", "beat"}

INSTALLED_APPS = [
    # It is Django's `runserver` alone that needs it, and every process would pay for its import.
    *(["daphne"] if _COMMAND == "runserver" else []),
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig" if _COMMAND in _PAGELESS else "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "channels",
    "core",
    "accounts",
    "tools",
    "webhooks",
    "memory",
    "assistants",
    "sessions.apps.SessionsConfig",
    "runs",
    "graphs",
    "scheduling",
    "console",
    "config",
]
MIDDLEWARE = [
    "core.middleware.sound_connections",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "core.middleware.chunked_bodies",
    "core.middleware.ErrorBodies",
    "core.middleware.CleanForms",
    "console.csp.ContentSecurityPolicy",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
MOUNT_PREFIX = ENV.mount_prefix
FORCE_SCRIPT_NAME = MOUNT_PREFIX or None
LOGIN_URL = f"{MOUNT_PREFIX}/login"
LOGIN_REDIRECT_URL = f"{MOUNT_PREFIX}/console/"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = OVER_HTTPS
CSRF_COOKIE_SECURE = OVER_HTTPS
# A proxy may tell us neither the scheme nor the name that people used.
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "core.http.csrf_failure"
# `core.edge` sends these on every answer, the async routes' too.
SECURE_CONTENT_TYPE_NOSNIFF = False
SECURE_REFERRER_POLICY = None

STATIC_URL = f"{MOUNT_PREFIX}/static/"
STATIC_ROOT = Path(ENV.data_dir) / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Read from the packages themselves, so that a start needs no collectstatic; compose runs it for hashes.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
# WhiteNoise hands Django files to iterate over; under ASGI they are read whole in a thread, which their size allows.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators", Warning)

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["core.http.JSONRenderer", "core.http.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.http.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.CredentialAuthentication",
        "accounts.authentication.LoginAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.permissions.WithinLimits"],
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.http.LenientNegotiation",
    "DEFAULT_SCHEMA_CLASS": "core.openapi.Schema",
    "EXCEPTION_HANDLER": "core.http.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # `?format=` would be a query key that every list knows beside its own.
    "URL_FORMAT_OVERRIDE": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Agent Server",
    "DESCRIPTION": "Hosts AI agents as persistent API services: assistants, sessions, runs.",
    "VERSION": "0.1.0",
    # pydantic writes JSON Schema, whose null OpenAPI 3.0 does not know.
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVERS": [{"url": MOUNT_PREFIX}] if MOUNT_PREFIX else [],
    # Enums stay where they are used: most come from pydantic, and made-up names for them would change with the code.
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

UNFOLD = {
    "SITE_TITLE": "Agent Server",
    "SITE_HEADER": "Agent Server",
    "SITE_URL": LOGIN_REDIRECT_URL,
    "SITE_ICON": f"{STATIC_URL}favicon.svg",
    # The accent of `static/css/app.css`, as a scale.
    "COLORS": {
        "primary": {
            "50": "#f0f5fc",
            "100": "#dde8f8",
            "200": "#bdd3f1",
            "300": "#8db3e6",
            "400": "#568cd8",
            "500": "#336fc9",
            "600": "#1f5fbf",
            "700": "#1a4e9c",
            "800": "#194280",
            "900": "#19396a",
            "950": "#112446",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": True,
        "navigation": "config.admin_menu.navigation",
    },
}

# Celery carries doorbells and housekeeping; the record of every run is PostgreSQL's.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = f"{ENV.redis_key_prefix}.celery"
# Of its own, so that receivers that do not answer keep nothing else waiting.
WEBHOOK_QUEUE = f"{ENV.redis_key_prefix}.webhooks"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name) for name in (CELERY_TASK_DEFAULT_QUEUE, WEBHOOK_QUEUE)
]
CELERY_TASK_ROUTES = {"webhooks.deliver": {"queue": WEBHOOK_QUEUE}}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "",
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "unacked_restore_limit": 100,
    "visibility_timeout": 60,
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULER = "config.scheduler:Scheduler"

SESSION_RETENTION_DAYS = ENV.session_retention_days
KEEP_LATEST_DAYS = ENV.keep_latest_days

# Their tasks say when a message that no worker takes expires, so that messages do not pile up.
CELERY_BEAT_SCHEDULE = {
    "forget_firings": {"task": "scheduling.forget_firings", "schedule": 3600.0},
    "sweep": {"task": "runs.sweep", "schedule": 5.0},
    "delete_ended_sessions": {"task": "runs.delete_ended_sessions", "schedule": 3600.0},
    "prune_idle_sessions": {"task": "runs.prune_idle_sessions", "schedule": 3600.0},
    "forget_expired": {"task": "accounts.forget_expired", "schedule": 3600.0},
    "sweep_store": {"task": "memory.sweep", "schedule": 60.0},
    "sweep_webhooks": {"task": "webhooks.sweep", "schedule": 5.0},
    "forget_webhooks": {"task": "webhooks.forget_old", "schedule": 3600.0},
}

# Schedules: how many a workspace may have, within how many seconds a slot that has come is looked at in time, and for
# how many days it is kept what became of it.
MAX_SCHEDULES = ENV.max_schedules
SCHEDULE_GRACE_S = 60
SCHEDULE_HISTORY_DAYS = ENV.schedule_history_days

# Webhooks: whether there are any, and the seconds before each further attempt to deliver.
WEBHOOKS = ENV.webhooks
WEBHOOK_RETRY_DELAYS_S = ENV.webhook_retry_s
WEBHOOK_LOG_DAYS = ENV.webhook_log_days
# What a process that died was sending is due again after so long: longer than an attempt takes.
WEBHOOK_LEASE_S = 60.0

# Alerts: when a queue counts as stuck and workers as missing (0: never), and who is told by e-mail, if anybody is.
STUCK_QUEUE_S = ENV.stuck_queue_s
MISSING_WORKERS_S = ENV.missing_workers_s
ALERT_EMAILS = ENV.alert_emails
DEFAULT_FROM_EMAIL = ENV.email_from or f"agent-server@{_PUBLIC_HOST or 'localhost'}"
EMAIL_HOST = ENV.email_server.host if ENV.email_server else ""
EMAIL_TIMEOUT = 10
if ENV.email_server:
    EMAIL_PORT = ENV.email_server.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = ENV.email_server.user, ENV.email_server.password
    EMAIL_USE_TLS, EMAIL_USE_SSL = ENV.email_server.starttls, ENV.email_server.tls

LOGGING_CONFIG = None
REDIS_KEY_PREFIX = ENV.redis_key_prefix

# The runner: see `runs/worker/`.
MAX_PENDING_RUNS = ENV.max_pending_runs
PROVIDER_LIMITS = _provider_limits(ENV.provider_limits)
# What workspaces may take that set no limits of their own.
WORKSPACE_LIMITS = _workspace_limits(ENV.workspace_limits)
# A tool's result of more bytes is kept as an artifact.
TOOL_RESULT_MAX_BYTES = ENV.tool_result_max_bytes
RUNNER_SLOTS = ENV.jobs_per_worker
RUNNER_GRACE_S = ENV.grace_period_s
RUNNER_LOOP_HANG_S = ENV.loop_hang_s
# A C call that holds the GIL stops the heartbeat's thread too, so the lease leaves room for a long one.
RUNNER_LEASE_S = ENV.lease_s
# So long a transaction of an event loop may take: less than a lease, or what a worker that stands still has locked
# would keep others from taking over its runs.
TRANSACTION_S = 10.0
# For how long a client may leave what is sent to it; then it is let go, and comes back where it left off.
SLOW_CLIENT_S = 20.0
# So long the head and the body of a request may take to arrive.
HEAD_TIMEOUT_S = float(ENV.head_timeout_s)
BODY_TIMEOUT_S = float(ENV.body_timeout_s)

# What runs begin with where neither their assistant nor they themselves say otherwise, and what they cannot exceed.
RUN_ATTEMPTS = ENV.run_attempts
RUN_TIMEOUT_S = ENV.run_timeout_s or 3_600
LONGEST_RUN_S = float(ENV.run_timeout_s or "inf")
