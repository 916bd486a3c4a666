"""What a scrape tells: read from PostgreSQL and Redis at its moment, so that every web process tells the same."""

from collections.abc import Iterator

import redis
from django.conf import settings
from django.db.models import Count, F, Min, Sum
from django.db.models.functions import Extract
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.clock import ClockTimestamp
from core.db import Operation, Query, Row, operation
from runs.lifecycle import Status
from runs.models import Run, Worker, WorkerState
from runs.worker.telemetry import counts
from runs.worker.traffic.figures import figures
from webhooks.dispatch.claim import backlog
from webhooks.kinds import ALERTED
from webhooks.models import Alert, DeliveryStatus

UNFINISHED = (Status.PENDING, Status.RUNNING, Status.INTERRUPTED)


class ServerCollector(Collector):
    """Runs that have not ended, and the workers that are to end them."""

    def collect(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("agent_server_runs", "Runs that have not ended.", labels=["status"])
        counted = Run.objects.filter(status__in=UNFINISHED).values_list("status").annotate(Count("id"))
        count_of = dict(counted.order_by())
        for status in UNFINISHED:
            runs.add_metric([status.value], count_of.get(status, 0))
        yield runs
        yield GaugeMetricFamily(
            "agent_server_oldest_pending_age_seconds",
            "For how long the oldest pending run has been waiting; 0 if none is.",
            value=_oldest_pending_age_s(),
        )
        yield from _workers()
        yield from _webhooks()
        yield from _providers()
        yield from _events()
        yield from _alerts()


def _oldest_pending_age_s() -> float:
    oldest = Run.objects.filter(status=Status.PENDING).aggregate(
        age=Extract(ClockTimestamp() - Min("queued_at"), "epoch")
    )
    return float(oldest["age"] or 0)


def _workers() -> Iterator[Metric]:
    alive = Worker.objects.exclude(state=WorkerState.LOST).filter(lease_expires_at__gt=ClockTimestamp())
    totals = alive.aggregate(alive=Count("id"), slots=Sum("slots"), used=Sum(F("used")))
    yield GaugeMetricFamily("agent_server_workers", "Worker processes alive.", value=totals["alive"])
    yield GaugeMetricFamily("agent_server_slots", "Runs that they can carry at once.", value=totals["slots"] or 0)
    yield GaugeMetricFamily("agent_server_slots_used", "Runs that they carry.", value=totals["used"] or 0)


def _webhooks() -> Iterator[Metric]:
    found = backlog().run()
    deliveries = GaugeMetricFamily(
        "agent_server_webhook_deliveries", "Deliveries that have not ended.", labels=["status"]
    )
    deliveries.add_metric([DeliveryStatus.PENDING.value], found["pending"])
    yield deliveries
    yield GaugeMetricFamily(
        "agent_server_oldest_due_delivery_age_seconds",
        "For how long the oldest delivery that could be sent has been due; 0 if none is.",
        value=found["oldest_due_age_s"],
    )


def _providers() -> Iterator[Metric]:
    try:
        found = figures(settings.PROVIDER_LIMITS)
    except (redis.RedisError, OSError):
        return
    calls = GaugeMetricFamily("agent_server_provider_calls", "Model calls under way, by limit.", labels=["limit"])
    waiting = GaugeMetricFamily(
        "agent_server_provider_waiting", "Runs that wait for room at a provider, by limit.", labels=["limit"]
    )
    for limit in found.calls:
        calls.add_metric([limit], found.calls[limit])
        waiting.add_metric([limit], found.waiting[limit])
    failing = GaugeMetricFamily(
        "agent_server_provider_open_circuits",
        "Models that have been failing, so that they are left alone.",
        labels=["provider"],
    )
    for provider, models in found.open_circuits.items():
        failing.add_metric([provider], models)
    yield from (calls, waiting, failing)


def _events() -> Iterator[Metric]:
    try:
        counted = counts()
    except (redis.RedisError, OSError):
        return
    events = CounterMetricFamily("agent_server_events", "What workers did, since Redis lost it last.", labels=["event"])
    for event, times in counted.items():
        events.add_metric([event], times)
    yield events


def _alerts() -> Iterator[Metric]:
    alerts = GaugeMetricFamily("agent_server_alerts", "Alerts that are open.", labels=["kind"])
    is_open = dict(Alert.objects.filter(resolved_at=None).order_by().values_list("kind").annotate(Count("id")))
    for kind in ALERTED:
        alerts.add_metric([kind], is_open.get(kind, 0))
    yield alerts


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(ServerCollector())


def prometheus() -> tuple[bytes, str]:
    """The server's figures in Prometheus' text format, and what that is called."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


_QUEUE = """
SELECT count(*) FILTER (WHERE status = 'pending') AS pending, count(*) FILTER (WHERE status = 'running') AS running,
    max(age) AS longest_s, percentile_cont(0.5) WITHIN GROUP (ORDER BY age) AS median_s,
    max(age) FILTER (WHERE ready) AS longest_ready_s
FROM (SELECT status, ready, CASE WHEN status = 'pending' THEN
    greatest(extract(epoch FROM clock_timestamp() - queued_at), 0)::float8 END AS age
    FROM runs WHERE status IN ('pending', 'running')) waiting
"""

_WORKERS = """
SELECT coalesce(sum(slots), 0)::int AS slots, coalesce(sum(used), 0)::int AS used FROM workers
WHERE state <> 'lost' AND lease_expires_at > clock_timestamp()
"""


@operation()
def queue_figures() -> Operation[Row]:
    """How many runs are `pending` and `running`, for how long (seconds, null if none) the pending ones wait
    (`longest_s`, `median_s`, and `longest_ready_s` of those that wait for a worker alone), and the `slots` of live
    workers, and how many are `used`."""
    (queue,) = yield Query(_QUEUE)
    (workers,) = yield Query(_WORKERS)
    return {**queue, **workers}
