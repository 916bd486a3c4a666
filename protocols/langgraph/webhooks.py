"""What a run's webhook is told in LangGraph's words: the run, what it asked for, and the values of its thread."""

from datetime import UTC, datetime
from typing import Any

from core.documents import moment
from protocols.langgraph.run_documents import error_of, run_document, values_of
from runs.lifecycle import Status
from runs.telling import with_moments

# How LangGraph calls a run that somebody, or a newer run, ended.
_CANCELLED = {
    False: {"error": "UserInterrupt", "message": "User interrupted the run"},
    True: {"error": "UserRollback", "message": "User requested rollback of the run"},
}


def webhook_body(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The body, of what `runs.telling` kept. One whose parts are too large has neither `values` nor the request."""
    row = {"input": None, "output": None, "kwargs": None, **with_moments(snapshot)}
    body = run_document(row)
    body |= {
        "run_started_at": moment(row["started_at"]),
        "run_ended_at": moment(row["finished_at"] or row["interrupted_at"]),
        "webhook_sent_at": moment(datetime.now(UTC)),
        "values": values_of(row) if "state" in row and "output" in snapshot else None,
    }
    if row["status"] == Status.CANCELLED:
        body["error"] = _CANCELLED[row["rollback"]]
    elif row["error"] is not None:
        body["error"] = error_of(row["error"])
    return body
