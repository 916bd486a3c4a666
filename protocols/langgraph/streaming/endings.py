"""What every run tells, hosted or native: that it goes on, that it failed, that it is done."""

from collections.abc import Iterator, Mapping
from typing import Any

from protocols.langgraph.streaming.frames import Frame, frame
from protocols.langgraph.streaming.places import DONE, ERROR, METADATA, OF_MODE
from runs.events import Event
from runs.lifecycle import Status

# How these clients know the status of a run; one that asks a person has succeeded.
_STATUSES: dict[str, str] = {Status.CANCELLED: "interrupted"}


def metadata(event: Event) -> Iterator[Frame]:
    """The first frame of each execution of a run."""
    if event.event == "metadata":
        yield frame(METADATA, "metadata", {"run_id": event.run_id, "attempt": event.data["attempt"]})


def error(event: Event) -> Iterator[Frame]:
    """Why a run has failed. A cancelled one just ends."""
    if event.event == "end" and event.data.get("status") in {Status.ERROR, Status.TIMEOUT}:
        yield frame(ERROR, "error", shown_error(event.data.get("error") or {}))


def done(event: Event) -> Iterator[Frame]:
    """The end of a run, for those that read its thread."""
    yield frame(DONE, "metadata", {"status": "run_done", "run_id": event.run_id})


def lifecycle(event: Event) -> Iterator[Frame]:
    """That a run begins, or has ended, for those that read nothing else of its thread."""
    status = "running"
    if event.event == "interrupt":
        status = str(Status.SUCCESS)
    elif event.event == "end":
        status = _STATUSES.get(event.data["status"], event.data["status"])
    told: dict[str, Any] = {"run_id": event.run_id, "status": status}
    if event.event == "metadata":
        told["attempt"] = event.data["attempt"]
    yield frame(OF_MODE["lifecycle"], "lifecycle", told)


def shown_error(document: Mapping[str, Any]) -> dict[str, Any]:
    """A run's error: the class of a graph's exception, the code of one of ours."""
    return {"error": document.get("type") or document.get("code"), "message": document.get("message")}
