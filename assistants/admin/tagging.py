"""Tags: labels such as `stable` that point at a version and may be moved."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from assistants import services
from assistants.admin.page import ChangePage, OneVersionPage, faults_of
from core.errors import AppError


class TagForm(forms.Form):
    """Which tag, and whether it comes or goes."""

    name = forms.CharField(
        max_length=64,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "autocapitalize": "off", "list": "tags"}),
        help_text="Such as stable, canary or v2-beta.",
    )
    remove = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)


class TagPage(OneVersionPage, ChangePage):
    """Puts tags on a version, and takes tags off any."""

    template_name = "admin/assistants/tags.html"
    form_class = TagForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            title=f"Tag version {self.version.number} of {self.assistant}",
            version=self.version,
            tags=self.assistant.version_tags.all(),
            **kwargs,
        )

    def carry_out(self, form: forms.Form) -> HttpResponse:
        name, remove = form.cleaned_data["name"], form.cleaned_data["remove"]
        if remove:
            services.untag_version(self.identity, self.assistant.pk, remove, name)
            return self.back(messages.SUCCESS, f"Version {remove} is no longer tagged {name}.")
        services.tag_version(self.identity, self.assistant.pk, self.version.number, name)
        return self.back(messages.SUCCESS, f"The tag {name} points at version {self.version.number}.")

    def explain(self, form: forms.Form, fault: AppError) -> None:
        form.add_error("name", [text.removeprefix("tag: ") for text in faults_of(fault)])
