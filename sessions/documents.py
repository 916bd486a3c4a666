"""The JSON shapes of sessions, messages and checkpoints, over plain rows."""

from typing import Any

from core.db import Row
from core.documents import moment, text
from runtime.contract import Message, ToolCall


def session_document(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "agent_id": row["agent_id"],
        "assistant_id": text(row["assistant_id"]),
        "assistant_version": row["assistant_version"],
        "user_id": row["user_id"],
        "title": row["title"],
        "status": row["status"],
        "activity": row["activity"],
        "message_count": row["message_count"],
        "metadata": row["metadata"],
        "context": row["context"],
        "active_run_id": text(row["head_run_id"]),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "last_activity_at": moment(row["last_activity_at"]),
        "expires_at": moment(row["expires_at"]),
        "closed_at": moment(row["closed_at"]),
    }


def message_document(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "session_id": str(row["session_id"]),
        "run_id": text(row["run_id"]),
        "seq": row["seq"],
        "role": row["role"],
        "content": row["content"],
        "tool_calls": row["tool_calls"],
        "tool_call_id": row["tool_call_id"],
        "name": row["name"],
        "metadata": row["metadata"],
        "created_at": moment(row["created_at"]),
    }


def checkpoint_document(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "session_id": str(row["session_id"]),
        "run_id": text(row["run_id"]),
        "parent_id": text(row["parent_id"]),
        "step": row["step"],
        "source": row["source"],
        "next": row["next"],
        "message_count": row["message_count"],
        "created_at": moment(row["created_at"]),
    }


def message_row(message: Message) -> dict[str, Any]:
    """What of a message its author made; its place in the session is added by who stores it."""
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "tool_calls": [call.document() for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "metadata": message.metadata,
    }


def message_from_row(row: Row) -> Message:
    return Message(
        id=str(row["id"]),
        role=row["role"],
        content=row["content"],
        tool_calls=[ToolCall(call["id"], call["name"], call["args"]) for call in row["tool_calls"]],
        tool_call_id=row["tool_call_id"],
        name=row["name"],
        metadata=row["metadata"],
    )


def file_summary(row: Row) -> dict[str, Any]:
    """A file as lists show it: without its content."""
    return {
        "path": row["path"],
        "size": row["size"],
        "scope": row["scope"],
        "read_only": row["read_only"],
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }


def file_document(row: Row) -> dict[str, Any]:
    return {**file_summary(row), "content": row["content"]}
