"""What `/metrics` tells of the model providers."""

import pytest
from pytest_django import Settings

from core.redis import client
from runs.worker.traffic.breaker import LEAST_CALLS, Circuit
from runs.worker.traffic.limiter import Limiter
from runtime.errors import MustWait
from runtime.providers.limits import Limit
from tests.api import Api
from tests.runs.traffic.conftest import NewShared
from tests.runs.worker import in_thread

pytestmark = pytest.mark.django_db(transaction=True)


def provider_lines(api: Api) -> list[str]:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return [line for line in answer.text.splitlines() if line.startswith("agent_server_provider")]


async def test_calls_waiting_runs_and_open_circuits_are_told(api: Api, settings: Settings, shared: NewShared) -> None:
    settings.PROVIDER_LIMITS = {"fake": Limit(concurrent_calls=1), "openai": Limit(concurrent_calls=1)}
    limiter = Limiter(settings.PROVIDER_LIMITS, shared())
    await limiter.enter(["fake"], "call", "a run", 0)
    for run in ("another run", "a third"):
        with pytest.raises(MustWait):
            await limiter.enter(["fake"], "call of it", run, 0)
    for place in ("here", "there"):
        circuit = Circuit(shared(), "fake", "echo", place)
        for _ in range(LEAST_CALLS):
            await circuit.failed()
    assert await in_thread(provider_lines, api) == [
        'agent_server_provider_calls{limit="fake"} 1.0',
        'agent_server_provider_calls{limit="openai"} 0.0',
        'agent_server_provider_waiting{limit="fake"} 2.0',
        'agent_server_provider_waiting{limit="openai"} 0.0',
        'agent_server_provider_open_circuits{provider="fake"} 2.0',
    ]


def test_without_redis_the_other_figures_are_told(api: Api, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    client.cache_clear()
    try:
        assert provider_lines(api) == []
    finally:
        client.cache_clear()
