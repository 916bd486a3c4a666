"""Work for the cluster while something is done to it: runs that keep coming, and clients that listen to them."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import httpx

from tests.faults.checker import Transcript
from tests.faults.rig import Cluster
from tests.sse import events

GIVE_UP_S = 240.0


class Clients:
    """Threads that each have one run after another accepted and wait for its end, on whichever web answers.

    What is not accepted is sent again under its Idempotency-Key. `answers` counts the status codes; `refused` are the
    answers that were neither a success nor 503 with Retry-After; `broken` counts connections that were cut or refused.
    """

    def __init__(
        self, cluster: Cluster, assistant: str, plan: dict[str, Any], *, threads: int = 6, pause_s: float = 0.1
    ) -> None:
        self.runs: list[str] = []
        self.ended = 0
        self.answers: Counter[int] = Counter()
        self.refused: list[str] = []
        self.broken = 0
        self.slowest_s = 0.0
        self._cluster, self._pause_s = cluster, pause_s
        self._body = {"assistant_id": assistant, "input": {"message": json.dumps(plan)}}
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            accepted = self._insist("POST", "/runs", 202, json=self._body, headers={"Idempotency-Key": str(uuid4())})
            if accepted is None:
                return
            self.runs.append(accepted["id"])
            if self._insist("GET", f"/runs/{accepted['id']}/join", 200, params={"wait_s": 2}) is not None:
                self.ended += 1

    def _insist(self, method: str, path: str, status: int, **request: Any) -> Any:
        """Ask until it is answered so; gives the document, or None where told to stop before.

        What is to be accepted is asked for until it is: nobody else knows whether it was.
        """
        while method == "POST" or not self._stopped.is_set():
            answer = self._ask(method, path, **request)
            if answer is not None and answer.status_code == status:
                return answer.json()
            if answer is None or answer.status_code != 202:
                time.sleep(0.1)
        return None

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        try:
            answer = random.choice(self._cluster.webs).client.request(method, path, **request)
        except (httpx.TransportError, IndexError):
            self.broken += 1
            return None
        self.answers[answer.status_code] += 1
        if method == "POST":
            self.slowest_s = max(self.slowest_s, answer.elapsed.total_seconds())
        if answer.status_code >= 300 and (answer.status_code != 503 or "retry-after" not in answer.headers):
            self.refused.append(f"{answer.status_code} {answer.text[:200]}")
        return answer


class Listener:
    """A client that follows one run to its end, and comes back on another web with Last-Event-ID when it is cut."""

    def __init__(self, cluster: Cluster, run_id: str, *, web: int = 0) -> None:
        self.transcript = Transcript(run_id)
        self.connections = 0
        self._cluster, self._web = cluster, web
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float = 60.0) -> Transcript:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"{self.transcript.run_id} has not been heard to its end"
        return self.transcript

    def _run(self) -> None:
        heard = self.transcript.events
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            try:
                webs = self._cluster.webs
                web = webs[self._web % len(webs)]
                again = {"Last-Event-ID": heard[-1].id} if heard else {}
                with web.client.stream("GET", f"/runs/{self.transcript.run_id}/stream", headers=again) as response:
                    if response.status_code == 200:
                        self.connections += 1
                        for event in events(response):
                            heard.append(event)
                            if event.event == "end":
                                return
            except (httpx.HTTPError, ZeroDivisionError):
                self._web += 1
            except RuntimeError:
                return  # the case has failed meanwhile, and its clients are closed
            time.sleep(0.05)


def listen(cluster: Cluster, runs: Iterable[str]) -> list[Listener]:
    """Listeners, spread over the webs."""
    return [Listener(cluster, run, web=nth) for nth, run in enumerate(runs)]
