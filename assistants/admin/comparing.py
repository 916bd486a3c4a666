"""Two versions side by side, and the way back to one of them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from unfold.widgets import UnfoldAdminSelectWidget

from assistants import queries, services
from assistants.admin.configuration import brief
from assistants.admin.editing import NoteField
from assistants.admin.overview import tags_of
from assistants.admin.page import AssistantPage, ChangePage, OneVersionPage
from assistants.admin.side_by_side import side_by_side
from assistants.api import version_in
from assistants.config import UpdateOptions
from assistants.diff import changes
from assistants.documents import in_order
from assistants.models import AssistantVersion

# The two that are compared can always be chosen, and so many of the latest.
MAX_CHOICES = 200


class CompareForm(forms.Form):
    """Two versions to choose."""

    def __init__(self, choices: list[tuple[int, str]], old: int, new: int):
        super().__init__(initial={"from": old, "to": new})
        for name in ("from", "to"):
            self.fields[name] = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget())


class ComparePage(AssistantPage):
    """What differs between the versions `from` and `to`; without them, between the last two."""

    template_name = "admin/assistants/compare.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        query = self.request.GET
        latest = self.assistant.version
        old = self._version(query.get("from") or str(max(latest - 1, 1)))
        new = self._version(query.get("to") or str(latest))
        unfolded = "all" in query
        return super().get_context_data(
            title=f"Compare versions of {self.assistant}",
            form=CompareForm(self._choices(old, new), old.number, new.number),
            swap=f"?from={new.number}&to={old.number}",
            unfolded=unfolded,
            fold_link=f"?from={old.number}&to={new.number}{'' if unfolded else '&all=1'}",
            **difference(old, new),
            **kwargs,
        )

    def _version(self, text: str) -> AssistantVersion:
        return queries.version(self.identity, self.assistant.pk, version_in(text))

    def _choices(self, *chosen: AssistantVersion) -> list[tuple[int, str]]:
        """Number and description of what can be compared, the latest first."""
        versions = {version.number: version for version in chosen}
        for version in queries.versions(self.identity, self.assistant.pk).defer("config")[:MAX_CHOICES]:
            versions[version.number] = version
        return [(number, self._describe(versions[number])) for number in sorted(versions, reverse=True)]

    def _describe(self, version: AssistantVersion) -> str:
        current = ["current"] if version.number == self.assistant.version else []
        words = [str(version.number), *current, *tags_of(self.assistant, version), version.change_note[:60]]
        return " · ".join(filter(None, words))


class RollBackForm(forms.Form):
    """A note, and the version that one thought to be the current one."""

    change_note = NoteField()
    expected_version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class RollBackPage(OneVersionPage, ChangePage):
    """Shows what would change, and copies the old version forward as a new one."""

    template_name = "admin/assistants/roll_back.html"
    form_class = RollBackForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        current = queries.version(self.identity, self.assistant.pk, self.assistant.version)
        return super().get_context_data(
            title=f"Roll {self.assistant} back to version {self.version.number}?",
            **difference(current, self.version),
            **kwargs,
        )

    def carry_out(self, form: forms.Form) -> HttpResponse:
        options = UpdateOptions.model_validate(form.cleaned_data)
        number = self.version.number
        after = services.roll_back_assistant(self.identity, self.assistant.pk, number, options)
        return self.back(messages.SUCCESS, f"Version {after.version} is stored, as version {number} was.")


def difference(old: AssistantVersion, new: AssistantVersion) -> dict[str, Any]:
    """What `_difference.html` shows."""
    before, after = in_order(old.config), in_order(new.config)
    found = changes(before, after)
    try:
        stretches = side_by_side(before, after)
    except ValueError as fault:
        stretches, too_long = [], str(fault)
    else:
        too_long = ""
    return {
        "old": old,
        "new": new,
        "sides": (old, new),
        "changes": [{**change, "from": brief(change["from"]), "to": brief(change["to"])} for change in found],
        "stretches": stretches,
        "too_long": too_long,
    }
