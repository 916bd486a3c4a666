"""Pools of workers: a run goes to those only that are of its type and have its labels."""

import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from assistants.models import Assistant
from assistants.services import create_assistant, update_assistant
from runs.models import Worker
from runs.pools import COMMON, Pool
from runs.queries import anything_waiting
from runs.worker.presence import Presence
from tests.runs.worker import Tenant, claim_with, in_thread, make_worker
from tests.servers import ROOT

GPU = {"resources": {"labels": ["gpu"]}}
GPU_EU = {"resources": {"labels": ["gpu", "eu"]}}


def tenant_of(**config: Any) -> Tenant:
    """A workspace with an assistant, of a type that this process need not have."""
    name = config.pop("type", "ReactAgent")
    tenant = Tenant.make(**config)
    Assistant.objects.filter(id=tenant.assistant).update(type=name)
    return tenant


# -- what is claimed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "takes", "expected"),
    [
        ({}, COMMON, True),
        ({}, Pool(labels=("gpu",)), True),
        (GPU, COMMON, False),
        (GPU, Pool(labels=("gpu",)), True),
        (GPU, Pool(labels=("eu", "gpu")), True),
        (GPU, Pool(labels=("gpus",)), False),
        (GPU_EU, Pool(labels=("gpu",)), False),
        (GPU_EU, Pool(labels=("eu", "gpu")), True),
        ({}, Pool(types=("ReactAgent",)), True),
        ({}, Pool(types=("Other", "ReactAgent")), True),
        ({}, Pool(types=("Other",)), False),
        ({"type": "Other"}, Pool(types=("Other",)), True),
        ({"type": "Other"}, COMMON, True),
        (GPU, Pool(types=("ReactAgent",)), False),
        (GPU, Pool(types=("Other",), labels=("gpu",)), False),
        (GPU, Pool(types=("ReactAgent",), labels=("gpu",)), True),
    ],
)
async def test_a_run_goes_to_who_is_of_its_type_and_has_its_labels(
    async_pool: None, config: dict[str, Any], takes: Pool, expected: bool
) -> None:
    tenant = await in_thread(lambda: tenant_of(**config))
    run = await in_thread(tenant.run)
    worker = await in_thread(make_worker)
    assert await anything_waiting(takes).arun() == expected
    assert [row["id"] for row in await claim_with(worker, takes=takes)] == [run] * expected


@pytest.mark.parametrize("takes", [COMMON, Pool(types=("ReactAgent",))])
async def test_what_is_not_for_a_worker_does_not_hide_the_work_behind_it(async_pool: None, takes: Pool) -> None:
    tenant = await in_thread(lambda: tenant_of(type="Other", **GPU))
    for _ in range(5):
        await in_thread(lambda: tenant.run(priority=9))
    plain = Tenant(tenant.identity, await in_thread(second_assistant, tenant))
    run = await in_thread(plain.run)
    worker = await in_thread(make_worker)
    assert [row["id"] for row in await claim_with(worker, slots=2, takes=takes)] == [run]


def second_assistant(tenant: Tenant) -> UUID:
    body = {"name": "second", "llm": {"provider": "fake", "model": "echo"}}
    return UUID(str(create_assistant(tenant.identity, body).id))


async def test_a_full_pool_holds_nobody_up(async_pool: None) -> None:
    tenant = await in_thread(lambda: tenant_of(max_concurrent_runs=1, **GPU))
    runs = [await in_thread(tenant.run) for _ in range(2)]
    worker = await in_thread(make_worker)
    gpu = Pool(labels=("gpu",))
    assert [row["id"] for row in await claim_with(worker, takes=gpu)] == runs[:1]
    assert await claim_with(worker, takes=gpu) == []


async def test_changed_labels_move_the_runs_that_wait(async_pool: None) -> None:
    tenant = await in_thread(lambda: tenant_of(**GPU))
    run = await in_thread(tenant.run)
    worker = await in_thread(make_worker)
    assert await claim_with(worker) == []
    body = {"resources": {"labels": []}}
    await in_thread(update_assistant, tenant.identity, tenant.assistant, body)
    assert [row["id"] for row in await claim_with(worker)] == [run]


# -- the worker --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_worker_says_what_it_takes(client: Client, async_pool: None) -> None:
    presence = Presence(
        slots=1, pool=Pool(("ReactAgent",), ("gpu", "eu")), on_beat=lambda *_: None, on_lost=lambda: None
    )
    presence.start()
    try:
        row = Worker.objects.get()
        assert (row.types, row.labels) == (["ReactAgent"], ["gpu", "eu"])
        client.force_login(User.objects.create_superuser("root", password="a long password"))
        page = client.get("/admin/runs/worker/").text
        assert "gpu, eu" in page
        assert "ReactAgent" in page
    finally:
        presence.stop()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--types", "ReactAgent,Nonsense", "There is no assistant type 'Nonsense'"),
        ("--types", "", "There is no assistant type ''"),
        ("--labels", "", "'' is not a label"),
        ("--labels", "gpu,,eu", "'' is not a label"),
        ("--labels", "gpu,big one", "'big one' is not a label"),
        ("--labels", "x" * 65, "is not a label"),
        ("--queues", "webhooks,mail", "There is no 'mail', only runs, tasks, webhooks"),
        ("--queues", "", "There is no ''"),
    ],
)
def test_a_worker_with_a_wrong_option_does_not_start(option: str, value: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("worker", f"{option}={value}")


def test_a_worker_that_takes_no_runs_has_no_types_of_them() -> None:
    with pytest.raises(CommandError, match="that it takes none"):
        call_command("worker", "--queues=webhooks", "--labels=gpu")


@pytest.mark.parametrize(
    ("chosen", "queues", "runs"),
    [
        ([], ["celery", "webhooks"], True),
        (["--queues=webhooks"], ["webhooks"], False),
        (["--queues=tasks,runs"], ["celery"], True),
        (["--queues=runs"], ["celery.none"], True),
    ],
)
def test_a_worker_takes_what_it_is_told_to(
    chosen: list[str], queues: list[str], runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def start(self: Any) -> None:
        started.append(self)
        self.exitcode = 0

    monkeypatch.setattr("celery.apps.worker.Worker.start", start)
    monkeypatch.setattr("config.management.commands.worker.refuse_start", lambda: None)
    monkeypatch.setattr("config.management.commands.worker.configure_logging", lambda role: None)
    with pytest.raises(SystemExit):
        call_command("worker", *chosen)
    (worker,) = started
    assert sorted(worker.app.amqp.queues.consume_from) == [f"agent-server.{queue}" for queue in queues]
    assert ("RunnerStep" in {type(step).__name__ for step in worker.steps}) == runs


def test_the_refusal_is_one_line() -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "worker", "--types", "Nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("CommandError: --types: There is no assistant type 'Nonsense', only ")
    assert len(done.stderr.splitlines()) == 1
