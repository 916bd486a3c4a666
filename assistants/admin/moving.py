"""Activate, archive and restore: from an assistant's page, and from the list for several at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.identity import Identity
from accounts.permissions import identity_in
from accounts.wall import WalledAdmin
from assistants import services
from assistants.admin.page import AssistantPage, Button, faults_of
from assistants.models import Assistant, Status
from core.errors import AppError


@dataclass(frozen=True, slots=True)
class Move:
    """A change of an assistant's state."""

    name: str
    verb: str
    icon: str
    sources: tuple[Status, ...]
    carry_out: Callable[[Identity, UUID], Assistant]
    consequence: str
    variant: str = "primary"
    is_confirmed: bool = False


MOVES = (
    Move(
        name="activate",
        verb="activated",
        icon="play_arrow",
        sources=(Status.CREATED,),
        carry_out=services.activate_assistant,
        consequence="If it passes its checks, it takes sessions and runs from now on.",
    ),
    Move(
        name="restore",
        verb="restored",
        icon="unarchive",
        sources=(Status.ARCHIVED,),
        carry_out=services.restore_assistant,
        consequence="If it passes its checks, it takes sessions and runs again.",
    ),
    Move(
        name="archive",
        verb="archived",
        icon="archive",
        sources=(Status.CREATED, Status.ACTIVE),
        # Deleting is archiving, whatever the state.
        carry_out=services.delete_assistant,
        consequence="It takes no new sessions and no new runs, and its configuration cannot be changed. Nothing is "
        "lost: its sessions can be read, and it can be restored.",
        variant="danger",
        is_confirmed=True,
    ),
)


def buttons(page: AssistantPage) -> list[Button]:
    """The moves that the assistant's state allows; one that must be confirmed leads to its page."""
    return [
        Button(
            move.name.capitalize(),
            move.icon,
            page.address(move.name),
            "default" if move.is_confirmed else move.variant,
            posts=not move.is_confirmed,
        )
        for move in MOVES
        if page.assistant.status in move.sources
    ]


class MovePage(AssistantPage):
    """Asks whether to move the assistant, and does so."""

    template_name = "admin/assistants/move.html"
    writes = True
    # `as_view` gives it.
    move: Move = None  # type: ignore[assignment]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        title = f"{self.move.name.capitalize()} {self.assistant}?"
        return super().get_context_data(title=title, move=self.move, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            self.move.carry_out(self.identity, self.assistant.pk)
        except AppError as fault:
            return self.back(messages.ERROR, " ".join(faults_of(fault)))
        return self.back(messages.SUCCESS, f"{self.assistant}: {self.move.verb}.")


class MoveActions(WalledAdmin):
    """The list's actions."""

    actions = ("activate", "archive", "restore")

    @admin.action(description="Activate", permissions=["operate"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> None:
        self._move(request, queryset, "activate")

    @admin.action(description="Restore", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> None:
        self._move(request, queryset, "restore")

    @admin.action(description="Archive", permissions=["operate"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> HttpResponse | None:
        if "confirmed" in request.POST:
            self._move(request, queryset, "archive")
            return None
        move = _move_named("archive")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{move.name.capitalize()} these assistants?",
            "move": move,
            "chosen": queryset,
            "cancel": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/assistants/move.html", context)

    def _move(self, request: HttpRequest, assistants: QuerySet[Assistant], name: str) -> None:
        move = _move_named(name)
        for assistant in assistants:
            try:
                move.carry_out(identity_in(request, assistant.workspace_id), assistant.id)
            except AppError as fault:
                self.message_user(request, f"{assistant}: {' '.join(faults_of(fault))}", messages.ERROR)
            else:
                self.message_user(request, f"{assistant}: {move.verb}.", messages.SUCCESS)


def _move_named(name: str) -> Move:
    return next(move for move in MOVES if move.name == name)
