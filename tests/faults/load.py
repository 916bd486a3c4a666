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
    """Threads that each have one run after another accepted, on whichever web answers, until told to stop.

    What is not accepted is sent again under its Idempotency-Key. `answers` counts the status codes; `refused` are the
    answers that were neither 202 nor 503 with Retry-After; `broken` counts the connections that were cut or refused.
    """

    def __init__(
        self, cluster: Cluster, assistant: str, plan: dict[str, Any], *, threads: int = 2, pause_s: float = 0.1
    ) -> None:
        self.runs: list[str] = []
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
            key, accepted = str(uuid4()), False
            while not accepted:
                accepted = self._send(key)
                if not accepted:
                    time.sleep(0.1)

    def _send(self, key: str) -> bool:
        began = time.monotonic()
        try:
            web = random.choice(self._cluster.webs)
            answer = web.client.post("/runs", json=self._body, headers={"Idempotency-Key": key})
        except (httpx.TransportError, IndexError):
            self.broken += 1
            return False
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers[answer.status_code] += 1
        if answer.status_code == 202:
            self.runs.append(answer.json()["id"])
            return True
        if answer.status_code != 503 or "retry-after" not in answer.headers:
            self.refused.append(f"{answer.status_code} {answer.text[:200]}")
        return False


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
            time.sleep(0.05)


def listen(cluster: Cluster, runs: Iterable[str]) -> list[Listener]:
    """Listeners, spread over the webs."""
    return [Listener(cluster, run, web=nth) for nth, run in enumerate(runs)]
