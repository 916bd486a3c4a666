"""Questions about PostgreSQL: it is the record, so most of what matters is asked here."""

import secrets
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from psycopg.rows import dict_row

from config.doctor.findings import Check, Found, fail, ok, warn
from config.env import ENV
from config.serve.probes import reason, shown

CONNECT_S = 3
OLDEST = 14
MOST_APART_S = 2.0
# What a process of each kind may hold: its async pool; the threads' pool, of which a worker's few tasks use little; a
# worker's presence, its neighbours' locks, its deliveries of webhooks.
WEB_CONNECTIONS = 16 + 20
WORKER_CONNECTIONS = 8 + 5 + 2 + 1
BEAT_CONNECTIONS = 2


def connect(url: str = "") -> "psycopg.Connection[dict[str, Any]]":
    """A connection that does not wait for long. Raises `psycopg.OperationalError`."""
    found = psycopg.connect(url or settings.DATABASE_URL, connect_timeout=CONNECT_S, autocommit=True)
    found.row_factory = dict_row  # type: ignore[assignment]
    # A pooler refuses this as an option of the connection.
    found.execute("SET statement_timeout = '3s'")
    return found  # type: ignore[return-value]


def row(sql: str, *values: object) -> dict[str, Any]:
    """The one row of a question."""
    with connect() as connection:
        found = connection.execute(sql.encode(), values).fetchone()
    assert found is not None
    return found


def _reachable() -> Found:
    try:
        version = row("SELECT current_setting('server_version_num')::int AS number")["number"]
    except psycopg.Error as fault:
        return fail(
            f"{shown(settings.DATABASE_URL)} does not work: {reason(fault).rstrip('.')}.",
            "Start it, or set DATABASE_URL.",
        )
    text = f"{version // 10_000}.{version % 10_000} at {shown(settings.DATABASE_URL)}."
    if version < OLDEST * 10_000:
        return fail(text, f"It must be {OLDEST} or newer.")
    return ok(text)


def _migrations() -> Found:
    with connect() as connection:
        applied = {
            (each["app"], each["name"]) for each in connection.execute("SELECT app, name FROM django_migrations")
        }
    missing = sorted(".".join(name) for name in set(MigrationLoader(None).graph.leaf_nodes()) - applied)
    if missing:
        return fail(f"Not applied: {', '.join(missing)}.", "Run: python manage.py migrate")
    return ok("All are applied.")


def _locks() -> Found:
    """Whether a lock stays with its connection: a pooler that shares connections would give it to anybody."""
    key = secrets.randbits(62)
    with connect(settings.DATABASE_DIRECT_URL) as holder, connect(settings.DATABASE_DIRECT_URL) as other:
        holder.execute("SELECT pg_advisory_lock(%s)", [key])
        taken = other.execute("SELECT pg_try_advisory_lock(%s) AS taken", [key]).fetchone()
    if taken is None or taken["taken"]:
        return fail(
            f"{shown(settings.DATABASE_DIRECT_URL)} shares its connections: workers cannot be told from dead ones.",
            "Set DATABASE_DIRECT_URL to an address past the pooler.",
        )
    return ok("Advisory locks are held by their connection.")


def _clock() -> Found:
    with connect() as connection:
        before = time.time()
        found = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()
        after = time.time()
    assert found is not None
    apart_s = max(before - found["now"], found["now"] - after, 0.0)
    if apart_s > MOST_APART_S:
        return warn(f"PostgreSQL's clock and this machine's are {apart_s:.0f} s apart.", "Set both by NTP.")
    return ok("PostgreSQL's and this machine's agree.")


def _durability() -> Found:
    found = row("SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit")
    if found["fsync"] == "off":
        return fail("fsync is off: a crash of its machine can destroy the database.", "Set fsync = on.")
    if found["commit"] == "off":
        return warn("synchronous_commit is off: a crash loses runs that were accepted.", "Set synchronous_commit = on.")
    return ok(f"What is committed is on the disk (synchronous_commit {found['commit']}).")


def _connections() -> Found:
    found = row(
        """SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               AS room, (SELECT count(*) FROM workers WHERE state <> 'lost' AND lease_expires_at > clock_timestamp())
               AS workers"""
    )
    workers = max(found["workers"], ENV.workers)
    needed = WEB_CONNECTIONS + workers * WORKER_CONNECTIONS + BEAT_CONNECTIONS
    text = f"One web and {workers} workers may use {needed} of {found['room']} connections."
    return ok(text) if needed <= found["room"] else warn(text, f"Set max_connections to {needed + 20} or more.")


CHECKS = (
    Check("postgresql", _reachable),
    Check("migrations", _migrations),
    Check("locks", _locks),
    Check("clock", _clock),
    Check("durability", _durability),
    Check("connections", _connections),
)
