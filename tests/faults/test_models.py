"""Models that fail."""

import asyncio
from collections import Counter

import pytest

from tests.faults.checker import check
from tests.faults.clients import Heard, follow
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.model_stub import WHOLE, FaultyModel
from tests.faults.rig import Cluster
from tests.sse import text_of

pytestmark = pytest.mark.timeout(300)

RATE = 0.2
ATTEMPTS = 5
SUCCESS = 0.99


def test_of_the_runs_of_a_model_that_fails_a_fifth_of_its_calls_nearly_all_succeed(
    cluster: Cluster, figures: Figures, scale: Scale
) -> None:
    count = scale(60, 500)
    with FaultyModel(RATE) as model:
        llm = {
            "provider": "openai",
            "model": "m",
            "base_url": f"http://{model.address}/v1",
            "settings": {"timeout_s": 1},
        }
        retry = {"max_attempts": ATTEMPTS, "initial_interval_s": 0.2}
        tools = [{"name": "calculator"}]
        assistant = cluster.assistant(
            type="ReactAgent", llm=llm | {"settings": {"timeout_s": 1}}, tools=tools, retry_policy=retry
        )
        runs = [
            cluster.client.post("/runs", json={"assistant_id": assistant, "input": {"message": f"number {i}"}}).json()
            for i in range(count)
        ]
        ports = [web.port for web in cluster.webs]

        async def all_of_them() -> list[Heard]:
            return await asyncio.gather(*(follow(ports, run["id"]) for run in runs))

        heard = asyncio.run(all_of_them())
    ended = Counter(each.events[-1].data["status"] for each in heard)
    for each in heard:
        if each.events[-1].data["status"] == "success":
            assert text_of(each.events) == WHOLE
    assert model.too_early == []
    failed = sum(model.faults.values()) - model.faults["broken JSON"]
    steps = cluster.sql(
        "SELECT count(*) FROM run_steps WHERE status = 'error' AND run_id = ANY(%s)", [run["id"] for run in runs]
    )
    assert steps == [(failed,)]
    check(cluster, transcripts=heard, crashes=False)
    assert len(model.faults) == 6 or not scale.full, f"Some faults did not occur: {model.faults}"
    share = ended["success"] / count
    figures.record(
        fault=f"a model fails {RATE * 100:.0f} % of its calls: 429, 500, timeout, cut stream, broken tool JSON",
        expected="tried again, not before Retry-After; tokens of failed calls superseded",
        measured=f"{share * 100:.1f} % of {count} runs succeed ({failed} failed calls of {len(model.asked)}, "
        f"up to {ATTEMPTS} attempts); none came back too early",
        target=f"success >= {SUCCESS * 100:.0f} %",
        met=share >= SUCCESS,
    )
