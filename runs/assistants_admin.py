"""What of the assistants' admin concerns their runs: how many are running, and deleting an assistant for good."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from assistants.admin import AssistantAdmin as Assistants
from assistants.admin import AssistantPage, Button
from assistants.admin.page import FormPage
from assistants.models import Assistant
from core.admin import MAX_ROWS
from runs.deletion import delete_assistant_for_good
from runs.lifecycle import ACTIVE, Status
from runs.models import Run
from sessions.models import Session


class NameForm(forms.Form):
    """The assistant's name, typed to confirm."""

    name = forms.CharField(strip=False, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}))

    def __init__(self, *args: Any, expected: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_name(self) -> str:
        if self.cleaned_data["name"] != self.expected:
            raise forms.ValidationError("This is not the assistant's name.")
        return self.expected


class DeletePage(AssistantPage, FormPage):
    """Deletes the assistant with all that belongs to it, for who may change it and types its name."""

    template_name = "admin/assistants/delete_for_good.html"
    form_class = NameForm
    writes = True

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "expected": self.assistant.name}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        runs = Run.objects.filter(assistant=self.assistant)
        return super().get_context_data(
            title=f"Delete {self.assistant} for good?",
            sessions=_counted(Session.objects.filter(assistant=self.assistant)),
            runs=_counted(runs),
            active=_counted(runs.filter(status__in=ACTIVE)),
            **kwargs,
        )

    def carry_out(self, form: forms.Form) -> HttpResponse:
        delete_assistant_for_good(self.identity, self.assistant.pk)
        messages.success(self.request, f"{self.assistant} is deleted, with all that belonged to it.")
        return HttpResponseRedirect(reverse("admin:assistants_assistant_changelist"))


class AssistantAdmin(Assistants):
    """Assistants, with their runs."""

    list_display = (*Assistants.list_display[:-2], "running", *Assistants.list_display[-2:])

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, whose rows know how many runs they have: one statement, over the few that are running."""
        found = super().get_changelist_instance(request)
        running = Run.objects.filter(status=Status.RUNNING, assistant__in=[row.pk for row in found.result_list])
        counts = dict(running.values_list("assistant").annotate(Count("pk")))
        for assistant in found.result_list:
            assistant.running = counts.get(assistant.pk, 0)
        return found

    def running(self, assistant: Assistant) -> int:
        """Runs that are being carried out."""
        count: int = vars(assistant)["running"]
        return count

    def buttons(self, page: AssistantPage) -> list[Button]:
        found = super().buttons(page)
        if page.may_operate():
            found.append(Button("Delete for good", "delete_forever", page.address("delete_for_good"), look="danger"))
        return found

    def get_urls(self) -> list[URLPattern]:
        return [self._page("delete-for-good/", "delete_for_good", DeletePage), *super().get_urls()]


def _counted(rows: Any) -> str:
    count = rows.order_by().values("pk")[: MAX_ROWS + 1].count()
    return f"more than {MAX_ROWS:,}" if count > MAX_ROWS else f"{count:,}"
