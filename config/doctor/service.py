"""Questions about the roles, and about who and what is in the database."""

import smtplib
from collections import Counter

import redis
from django.conf import settings
from django.core.mail import get_connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.doctor.findings import Check, Found, fail, ok, warn
from config.doctor.postgres import connect, row
from config.serve.probes import reason, shown
from runtime.providers import check_llm
from webhooks.dispatch.claim import BACKLOG, ONE

REDIS_S = 3.0
MAIL_S = 3
OLDEST_REDIS = (6, 2)
# Beat writes down what it has sent every three minutes.
BEAT_LATE_S = 600
WEBHOOKS_LATE_S = 120
UNUSED_DAYS = 90
MOST_ASSISTANTS = 1_000


def _redis_info() -> dict[str, object]:
    options = {"socket_connect_timeout": REDIS_S, "socket_timeout": REDIS_S, "retry": Retry(NoBackoff(), 0)}
    with redis.Redis.from_url(settings.REDIS_URL, **options) as client:
        found: dict[str, object] = client.info()
    return found


def _redis() -> Found:
    try:
        info = _redis_info()
    except (redis.RedisError, ValueError, OSError) as fault:
        return fail(
            f"{shown(settings.REDIS_URL)} does not work: {reason(fault).rstrip('.')}.", "Start it, or set REDIS_URL."
        )
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    text = f"{version} at {shown(settings.REDIS_URL)}, keys under {settings.REDIS_KEY_PREFIX!r}."
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return ok(text) if parts >= OLDEST_REDIS else fail(text, "It must be 6.2 or newer.")


def _redis_memory() -> Found:
    try:
        info = _redis_info()
    except (redis.RedisError, ValueError, OSError):
        return warn("Not known without Redis.")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        return warn(
            f"It drops keys when its memory is full ({policy}): limits are forgotten, and runs start later.",
            "Set maxmemory-policy noeviction.",
        )
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        return warn("It could not write to its disk, and may refuse writes.", "Look at its log.")
    return ok("It drops no keys; nothing in it must be kept.")


def _workers() -> Found:
    found = row(
        """SELECT count(*) FILTER (WHERE state <> 'lost' AND lease_expires_at > clock_timestamp()) AS alive,
               extract(epoch FROM clock_timestamp() - max(heartbeat_at))::int AS ago FROM workers"""
    )
    if not found["alive"]:
        last = "none was ever seen" if found["ago"] is None else f"the last sign of life is {found['ago']} s old"
        return fail(f"No worker is alive, {last}: runs wait.", "Start: python manage.py worker")
    return ok(f"{found['alive']} alive, the last sign of life is {found['ago']} s old.")


def _beat() -> Found:
    found = row(
        """SELECT extract(epoch FROM clock_timestamp() - max(last_run_at))::int AS ago
           FROM django_celery_beat_periodictask WHERE name = 'sweep'"""
    )
    if found["ago"] is None:
        return warn("It has not said yet that it swept.", "If it stays so for minutes, start: python manage.py beat")
    if found["ago"] > BEAT_LATE_S:
        return fail(f"Its last sweep was {found['ago']} s ago.", "Start: python manage.py beat")
    return ok(f"Its last sweep was {found['ago']} s ago, as far as it has said.")


def _models() -> Found:
    with connect() as connection:
        rows = connection.execute(
            """SELECT a.name, v.config->'llm' AS llm FROM assistants a
               JOIN assistant_versions v ON v.assistant_id = a.id AND v.number = a.version
               WHERE a.status = 'active' AND a.graph_id IS NULL ORDER BY a.created_at DESC LIMIT %s""",
            [MOST_ASSISTANTS],
        ).fetchall()
    lacks = Counter(problem.message for each in rows for problem in check_llm(each["llm"]))
    if lacks:
        message, count = lacks.most_common(1)[0]
        more = f", and {len(lacks) - 1} more kinds of fault" if len(lacks) > 1 else ""
        return warn(
            f"{count} of {len(rows)} active assistants: {message.rstrip('.')}{more}.",
            "Set the variables where workers run, and look from there.",
        )
    return ok(f"The {len(rows)} active assistants have what their models need here.")


def _keys() -> Found:
    found = row(
        """SELECT count(*) AS keys, count(*) FILTER (WHERE expires_at IS NULL) AS endless,
               count(*) FILTER (WHERE coalesce(last_used_at, created_at)
                   < clock_timestamp() - make_interval(days => %s)) AS unused
           FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())""",
        UNUSED_DAYS,
    )
    text = (
        f"{found['keys']} are good: {found['endless']} never expire, "
        f"{found['unused']} were not used for {UNUSED_DAYS} days."
    )
    if found["endless"] or found["unused"]:
        return warn(text, "Revoke what nobody needs; give new ones an end.")
    return ok(text)


def _people() -> Found:
    # Django's mark of a password that nobody can type.
    found = row(
        """SELECT count(*) AS people, count(*) FILTER (WHERE password = '' OR password LIKE '!%%') AS without
           FROM users WHERE is_active"""
    )
    text = f"{found['people']} may sign in, {found['without']} of them have no password."
    return warn(text, "Set one in the admin, or make them inactive.") if found["without"] else ok(text)


def _mail() -> Found:
    if not settings.EMAIL_HOST:
        told = row("SELECT count(*) AS workspaces FROM workspaces WHERE alert_emails <> '{}'")["workspaces"]
        if told or settings.ALERT_EMAILS:
            return warn("Alerts are to be mailed, and no mail server is known.", "Set AGENT_SERVER_EMAIL_URL.")
        return ok("No mail server: alerts are in the admin, and sent to webhooks.")
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        with get_connection(timeout=MAIL_S):
            pass
    except (smtplib.SMTPException, OSError) as fault:
        # What a mail server answers to a login may have it in it.
        why = fault.strerror if type(fault) is OSError else type(fault).__name__
        return fail(f"{where} cannot be used ({why}).", "Look at AGENT_SERVER_EMAIL_URL.")
    to = f"{len(settings.ALERT_EMAILS)} in AGENT_SERVER_ALERT_EMAILS, and those of each workspace"
    return ok(f"By {where}, from {settings.DEFAULT_FROM_EMAIL}, to {to}.")


def _webhooks() -> Found:
    if not settings.WEBHOOKS:
        return ok("There are none here: AGENT_SERVER_WEBHOOKS is off.")
    with connect() as connection:
        found = connection.execute(BACKLOG.encode(), ONE).fetchone()
    assert found is not None
    late_s = found["oldest_due_age_s"]
    if late_s > WEBHOOKS_LATE_S:
        return warn(
            f"{found['pending']} deliveries wait, one that could be sent for {late_s:.0f} s.",
            "A worker must take webhooks (--queues), beat must run; more such workers where it stays so.",
        )
    return ok(f"{found['pending']} deliveries wait, none that could be sent for long.")


CHECKS = (
    Check("redis", _redis),
    Check("redis memory", _redis_memory),
    Check("workers", _workers),
    Check("beat", _beat),
    Check("models", _models),
    Check("api keys", _keys),
    Check("people", _people),
    Check("mail", _mail),
    Check("webhooks", _webhooks),
)
