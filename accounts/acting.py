"""Pages of the admin whose rows people add, change and delete: by services, whose refusals stand beside the fields."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse

from accounts.wall import WalledAdmin
from core.errors import AppError
from core.ids import parse_id

_REFUSED = "refused_by_a_service"


@dataclass(frozen=True, slots=True)
class Act:
    """An action of the list that a row's own page offers as a button too. `effect` is said before it is done."""

    name: str
    label: str
    icon: str
    variant: str = "default"
    effect: str = ""


class ActingAdmin(WalledAdmin):
    """Rows with buttons. Each is one of the class's actions, and is allowed to whom that is allowed."""

    acts: tuple[Act, ...] = ()
    change_form_outer_before_template = "admin/acting/before.html"

    class Media:
        css = {"all": ["css/admin.css"]}

    def offered(self, row: Any) -> Collection[str]:
        """The names of the acts that make sense for the row as it is."""
        return [act.name for act in self.acts]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        view = self.admin_site.admin_view(self.act_view)
        urls: list[URLPattern] = super().get_urls()
        return [path("<uuid:row_id>/act/<str:act>/", view, name=name), *urls]

    def act_view(self, request: HttpRequest, row_id: Any, act: str) -> HttpResponseBase:
        """Act on one row, and back to its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, str(row_id))
        if act not in [known.name for known in self.acts] or not self.has_operate_permission(request, row):
            raise Http404
        try:
            getattr(self, act)(request, self.model._default_manager.filter(pk=row.pk))
        except AppError as fault:
            self.message_user(request, fault.detail, messages.ERROR)
        return HttpResponseRedirect(self._address("change", row))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        context = {"buttons": self._buttons(request, row), **self.told(request, row), **(extra_context or {})}
        response: HttpResponseBase = super().change_view(request, object_id, form_url, context)
        return response

    def told(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the templates around the form of a row show."""
        return {}

    def _buttons(self, request: HttpRequest, row: Any) -> list[tuple[Act, str]]:
        if not self.has_operate_permission(request, row):
            return []
        offered = self.offered(row)
        return [(act, self._address("act", row, act.name)) for act in self.acts if act.name in offered]

    def _address(self, page: str, row: Any, *args: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=[row.pk, *args])


class RowField(forms.ModelChoiceField[Any]):
    """A choice among rows that are searched for. Where what was typed is no id, Django would fail to look it up."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data if parse_id(str(data)) else None


class ServicedForm(forms.ModelForm[Any]):
    """A form that a service has the last word about. `places` leads from a fault's place to the field that shows it."""

    places: dict[str, str] = {}
    refused: AppError | None = None

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.refused is not None:
            for place, message in self._faults(self.refused):
                self.add_error(place, message)
        return given

    def _faults(self, fault: AppError) -> list[tuple[str | None, str]]:
        found = []
        for error in fault.errors:
            name = str(error.loc[0]) if error.loc else ""
            name = self.places.get(name, name)
            inner = ".".join(map(str, error.loc[1:]))
            found.append(
                (name if name in self.fields else None, f"{inner}: {error.message}" if inner else error.message)
            )
        return found or [(None, fault.detail)]

    def _post_clean(self) -> None:
        """The model's own rules are not asked: they are the services' to tell."""


class ServicedAdmin(ActingAdmin):
    """Rows that are added, changed and deleted by services: `save_model` and `delete_model` call them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_operate_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_operate_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.autocomplete_fields:
            kwargs["form_class"] = RowField
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        # The class was made for this request.
        form.refused = vars(request).get(_REFUSED)
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page. What the service refuses has undone its transaction: the page is drawn again and says it."""
        try:
            # Past the wall's own, which leads away from what was typed.
            response: HttpResponseBase = super(WalledAdmin, self).changeform_view(request, *args, **kwargs)
        except AppError as fault:
            if request.method != "POST":
                raise
            setattr(request, _REFUSED, fault)
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)
