"""Sessions for operators. They are looked at here; what closes one concerns its runs: `runs.admin`."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.wall import WalledAdmin
from core.admin import ReadOnlyInline, pretty
from core.ids import parse_id
from sessions.models import Checkpoint, Message, Session, SharedFile

ROWS_PER_PAGE = 20


class FoundById(ModelAdmin):
    """A list that is searched by whole ids; in any other way it would be read from end to end."""

    found_by: tuple[str, ...] = ("id", "session_id")
    search_fields = ("id",)
    search_help_text = "A whole id: its own, or of what it belongs to."
    # A UUIDv7 sorts by time, and its index is there.
    ordering = ("-id",)
    sortable_by = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        wanted = parse_id(search_term.strip().lower())
        if wanted is None:
            return queryset.none(), False
        found = Q()
        for name in self.found_by:
            found |= Q(**{name: wanted})
        return queryset.filter(found), False


class MessageInline(ReadOnlyInline):
    """The current conversation; what was dropped from it is found in the list of messages, by the session's id."""

    model = Message
    per_page = ROWS_PER_PAGE
    fields = readonly_fields = ("seq", "role", "content", "run_id", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        rows: QuerySet[Message] = super().get_queryset(request).filter(dropped_at_step=None)
        return rows


class CheckpointInline(ReadOnlyInline):
    model = Checkpoint
    per_page = ROWS_PER_PAGE
    fk_name = "session"
    fields = readonly_fields = ("step", "source", "message_count", "changes", "run_id", "created_at")


class SessionAdmin(FoundById, WalledAdmin):
    """Registered by `runs.admin`, which adds how to close one."""

    found_by = ("id", "assistant_id", "head_run_id")
    list_display = ("id", "title", "assistant", "user_id", "status", "activity", "message_count", "last_activity_at")
    list_filter = ("status", "activity", "workspace")
    list_select_related = ("assistant",)
    inlines = (MessageInline, CheckpointInline)
    fields = (
        "id",
        "workspace",
        "assistant",
        "assistant_version",
        "agent_id",
        "user_id",
        "title",
        "status",
        "activity",
        "message_count",
        "head_run_id",
        "checkpoint_id",
        "metadata",
        "context",
        "values",
        "ttl_seconds",
        "ttl_strategy",
        "ephemeral",
        "created_at",
        "last_activity_at",
        "expires_at",
        "closed_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        rows: QuerySet[Session] = super().get_queryset(request).defer("state")
        return rows

    @admin.display(description="state")
    def values(self, session: Session) -> str:
        return pretty(session.state)


@admin.register(Message)
class MessageAdmin(FoundById, WalledAdmin):
    workspace_path = "session__workspace"
    found_by = ("id", "session_id")
    list_display = ("id", "session_id", "seq", "role", "run_id", "step", "dropped_at_step", "created_at")
    list_filter = ("role",)


@admin.register(Checkpoint)
class CheckpointAdmin(FoundById, WalledAdmin):
    workspace_path = "session__workspace"
    found_by = ("id", "session_id")
    list_display = ("id", "session_id", "step", "source", "message_count", "run_id", "created_at")
    list_filter = ("source",)


@admin.register(SharedFile)
class SharedFileAdmin(FoundById, WalledAdmin):
    found_by = ("id", "assistant_id")
    list_display = ("id", "assistant", "user_id", "path", "size", "version", "updated_at")
    list_filter = ("workspace",)
    list_select_related = ("assistant",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SharedFile]:
        # Lists show many at once, and a content may be large.
        rows: QuerySet[SharedFile] = super().get_queryset(request).defer("content")
        return rows
