"""Pages where a whole configuration is written: a new assistant, and a new version of one.

They are views of their own, because Django's add and change views open a transaction around all that they do, and the
services call MCP servers between theirs.
"""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.models import Workspace
from accounts.permissions import identity_in
from accounts.wall import workspaces_in_reach
from assistants import queries, services
from assistants.admin.configuration import pretty_json
from assistants.admin.page import AdminPage, ChangePage, FormPage, faults_of
from assistants.api import EXAMPLE
from assistants.config import UpdateOptions
from core.errors import AppError, BadRequest, VersionConflict
from core.strict_json import parse_json


class ConfigurationField(forms.CharField):
    """JSON in a text that is kept as it was typed."""

    def __init__(self, **options: Any):
        attributes = {"rows": 26, "class": "json", "spellcheck": "false", "autocapitalize": "off"}
        super().__init__(widget=UnfoldAdminTextareaWidget(attributes), strip=False, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return parse_json(text.encode(errors="replace"))
        except BadRequest as fault:
            raise forms.ValidationError(fault.detail.replace("The body", "The configuration")) from None


class NoteField(forms.CharField):
    """The change note of a version."""

    def __init__(self) -> None:
        why = "Why, in a few words. It stands beside the version."
        super().__init__(max_length=10_000, required=False, widget=UnfoldAdminTextInputWidget(), help_text=why)


class NewAssistantForm(forms.Form):
    """The body of `POST /assistants`."""

    workspace = forms.ModelChoiceField(Workspace.objects.none(), widget=UnfoldAdminSelectWidget())
    configuration = ConfigurationField(
        help_text="As the body of POST /assistants. Only name and llm are required; for a hosted graph name, type and "
        "graph_id."
    )

    def __init__(self, *args: Any, workspaces: QuerySet[Workspace], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["workspace"].queryset = workspaces  # type: ignore[attr-defined]


class NewAssistantPage(AdminPage, FormPage):
    """Adds an assistant, as the API does."""

    template_name = "admin/assistants/edit.html"
    title = "New assistant"
    form_class = NewAssistantForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(cancel=reverse("admin:assistants_assistant_changelist"), **kwargs)

    def is_allowed(self) -> bool:
        return bool(self.model_admin.has_add_permission(self.request))

    def workspaces(self) -> QuerySet[Workspace]:
        """Where who asks may add one."""
        return workspaces_in_reach(self.request, self.model_admin.actors)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "workspaces": self.workspaces()}

    def get_initial(self) -> dict[str, Any]:
        workspaces = self.workspaces()[:2]
        only = workspaces[0] if len(workspaces) == 1 else None
        return {"configuration": json.dumps(EXAMPLE, indent=2), "workspace": only}

    def carry_out(self, form: forms.Form) -> HttpResponse:
        identity = identity_in(self.request, form.cleaned_data["workspace"].pk)
        created = services.create_assistant(identity, form.cleaned_data["configuration"])
        messages.success(self.request, f"{created} is there, and {created.status}.")
        for check in created.validation["checks"]:
            if not check["ok"]:
                messages.warning(self.request, f"{check['name']}: {check['message']}")
        return HttpResponseRedirect(reverse("admin:assistants_assistant_change", args=[created.pk]))

    def explain(self, form: forms.Form, fault: AppError) -> None:
        form.add_error("configuration", faults_of(fault))


class NewVersionForm(forms.Form):
    """The whole configuration, what it was made from, and why."""

    configuration = ConfigurationField(help_text="The whole: a setting that is taken out returns to its default.")
    change_note = NoteField()
    expected_version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class NewVersionPage(ChangePage):
    """Changes an assistant by making its next version."""

    template_name = "admin/assistants/edit.html"
    form_class = NewVersionForm
    # The version that somebody else made meanwhile.
    overtaken_by: int | None = None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(title=f"New version of {self.assistant}", **kwargs)
        based_on = context["form"]["expected_version"].value()
        return {**context, "based_on": based_on, "overtaken_by": self.overtaken_by}

    def get_initial(self) -> dict[str, Any]:
        current = queries.version(self.identity, self.assistant.pk, self.assistant.version)
        return {"configuration": pretty_json(current.config), "expected_version": current.number}

    def carry_out(self, form: forms.Form) -> HttpResponse:
        before = form.cleaned_data["expected_version"]
        options = UpdateOptions(change_note=form.cleaned_data["change_note"], expected_version=before)
        configuration = form.cleaned_data["configuration"]
        after = services.replace_configuration(self.identity, self.assistant.pk, configuration, options)
        if after.version == before:
            messages.info(self.request, f"Nothing is different, so there is no new version: {before} is the current.")
            return self.form_invalid(form)
        compare = f"{self.address('compare')}?from={before}&to={after.version}"
        link = format_html('<a href="{}" class="underline">Compare it with {}</a>', compare, before)
        return self.back(messages.SUCCESS, format_html("Version {} is stored. {}", after.version, link))

    def explain(self, form: forms.Form, fault: AppError) -> None:
        if isinstance(fault, VersionConflict):
            self.assistant.refresh_from_db(fields=["version"])
            self.overtaken_by = self.assistant.version
        else:
            form.add_error("configuration", faults_of(fault))
