"""Limits in the admin's forms: a number for each."""

from typing import Any

from django import forms
from django.forms.models import ModelFormMetaclass
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.limits import LARGEST, NAMES, Limits


def _field(name: str) -> forms.IntegerField:
    label = name.replace("_", " ").capitalize()
    return forms.IntegerField(
        label=label, required=False, min_value=1, max_value=LARGEST, widget=UnfoldAdminIntegerFieldWidget
    )


class LimitFields(forms.BaseModelForm[Any], metaclass=ModelFormMetaclass):
    """For forms of what has `limits`. What is left empty has none."""

    requests_per_minute = _field("requests_per_minute")
    concurrent_runs = _field("concurrent_runs")
    streams = _field("streams")
    runs_per_day = _field("runs_per_day")
    tokens_per_day = _field("tokens_per_day")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.instance.limits.items():
            self.initial.setdefault(name, value)

    def limits(self) -> Limits:
        """What was filled in."""
        return Limits(**{name: self.cleaned_data[name] for name in NAMES})


def limit_fieldset() -> tuple[str, dict[str, Any]]:
    """The part of a page that has them."""
    return "Limits", {"fields": NAMES, "description": "Whole numbers; empty: no limit, or the server's default."}
