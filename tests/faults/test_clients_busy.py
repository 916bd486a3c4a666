"""What a new run does in a session that is busy, with real processes: what the history says afterwards."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.clients import new_run
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.servers import wait_for

pytestmark = pytest.mark.timeout(300)

FIRST = {"steps": 6, "tokens": 5, "token_s": 0.1}
SECOND = {"steps": 1}


class Busy:
    """A session whose first run has stored a step or more, and goes on."""

    def __init__(self, cluster: Cluster, assistant: str):
        self._cluster = cluster
        self.session = cluster.session(assistant)
        self.first = cluster.run(FIRST, session=self.session)
        self.second = ""

    def has_begun(self) -> bool:
        return bool(self._cluster.sql("SELECT 1 FROM runs WHERE id = %s AND step_count > 0", self.first))

    def text_again(self, strategy: str) -> int:
        """Send the second run over the other web; gives the answer's status."""
        body = new_run(SECOND, multitask_strategy=strategy)
        answer = self._cluster.webs[1].client.post(f"/sessions/{self.session}/runs", json=body)
        self.second = answer.json().get("id", "")
        return answer.status_code

    def ended(self, run: str) -> tuple[str, str | None]:
        """How the run ended: its status, and its error's code."""
        document = self._cluster.client.get(f"/runs/{run}/join").json()
        return document["status"], (document["error"] or {}).get("code")

    def history(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self._cluster.client.get(f"/sessions/{self.session}/messages").json()["items"]
        assert [message["seq"] for message in messages] == sorted({message["seq"] for message in messages})
        return messages

    def told(self) -> list[str]:
        """The runs' messages in the history: `first` or `second`, each once for each message."""
        names = {self.first: "first", self.second: "second"}
        return [names[message["run_id"]] for message in self.history()]


def _enqueued(busy: Busy) -> None:
    assert busy.text_again("enqueue") == 202
    assert busy.ended(busy.first) == busy.ended(busy.second) == ("success", None)
    assert busy.told() == ["first"] * 7 + ["second"] * 2


def _rejected(busy: Busy) -> None:
    assert busy.text_again("reject") == 409
    assert busy.ended(busy.first) == ("success", None)
    assert busy.told() == ["first"] * 7


def _interrupted(busy: Busy) -> None:
    assert busy.text_again("interrupt") == 202
    assert busy.ended(busy.first) == ("cancelled", "superseded")
    assert busy.ended(busy.second) == ("success", None)
    told = busy.told()
    # What it had stored by then stays: its input and a step or more, but not all.
    kept = told.count("first")
    assert 2 <= kept <= 6
    assert told == ["first"] * kept + ["second"] * 2


def _rolled_back(busy: Busy) -> None:
    assert busy.text_again("rollback") == 202
    assert busy.ended(busy.first) == ("cancelled", "superseded")
    assert busy.ended(busy.second) == ("success", None)
    assert busy.told() == ["second"] * 2
    assert json.loads(busy.history()[0]["content"]) == SECOND


_SMALL = in_short_form("tests/runs/test_double_texting.py")


@pytest.mark.parametrize(
    "strategy",
    [*(pytest.param(each, marks=_SMALL) for each in (_enqueued, _rejected, _interrupted)), _rolled_back],
)
def test_each_strategy_does_what_its_name_says(cluster: Cluster, figures: Figures, scale: Scale, strategy: Any) -> None:
    assistant = cluster.assistant()
    count = scale(3, 20)

    def one(_: int) -> None:
        busy = Busy(cluster, assistant)
        wait_for(busy.has_begun, 30)
        strategy(busy)

    with ThreadPoolExecutor(count) as clients:
        list(clients.map(one, range(count)))
    check(cluster, crashes=False, success=0.5)
    name = strategy.__name__.strip("_").replace("_", " ")
    figures.record(
        fault=f"a second run in a busy session is {name}"
        if name in {"enqueued", "rejected"}
        else f"a busy run is {name}",
        expected="the history says so",
        measured=f"{count} of {count} sessions",
        target="all",
        met=True,
    )
