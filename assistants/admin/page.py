"""What the admin's pages about assistants share: whom they let in, and what stands around them."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import FormView, TemplateView

from accounts.identity import Identity
from accounts.permissions import identity_in
from accounts.wall import WalledAdmin
from assistants import queries
from assistants.models import Assistant, AssistantVersion, Status
from core.errors import AppError


@dataclass(frozen=True, slots=True)
class Button:
    """What leads on from a page; one that `posts` acts at once. `look` is a class of CSS."""

    label: str
    icon: str
    url: str
    variant: str = "default"
    posts: bool = False
    look: str = ""


class AdminPage(TemplateView):
    """A page of an admin class: for whom may view its objects, or change them where the page `writes`."""

    # `as_view` gives it.
    model_admin: WalledAdmin = None  # type: ignore[assignment]
    title = ""
    writes = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.is_allowed():
            raise PermissionDenied
        request.current_app = self.model_admin.admin_site.name
        self.load(**kwargs)
        # Again, now that it is known what the page is about: a person's roles differ between workspaces.
        if not self.is_allowed():
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def is_allowed(self) -> bool:
        """Whether the page is for who asks."""
        may = self.model_admin.has_operate_permission if self.writes else self.model_admin.has_view_permission
        return may(self.request, self.about())

    def about(self) -> Any:
        """The row that the page is about, None for none and before it is loaded."""
        return None

    def load(self, **kwargs: Any) -> None:
        """Find what the path names; raises Http404 or NotFound."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        site = self.model_admin.admin_site.each_context(self.request)
        return super().get_context_data(**{**site, "opts": self.model_admin.opts, "title": self.title, **kwargs})


class AssistantPage(AdminPage):
    """A page about the assistant in its path."""

    assistant: Assistant
    identity: Identity

    def about(self) -> Assistant | None:
        return getattr(self, "assistant", None)

    def load(self, **kwargs: Any) -> None:
        self.assistant = get_object_or_404(self.model_admin.get_queryset(self.request), pk=kwargs["assistant_id"])
        self.identity = identity_in(self.request, self.assistant.workspace_id)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        about = {
            "original": self.assistant,
            "assistant": self.assistant,
            "cancel": self.address(),
            "may_operate": self.may_operate(),
            "may_change": self.may_change(),
        }
        return super().get_context_data(**{**about, **kwargs})

    def may_operate(self) -> bool:
        """Whether who asks may move the assistant."""
        return self.model_admin.has_operate_permission(self.request, self.assistant)

    def may_change(self) -> bool:
        """Whether who asks may make versions and tags of the assistant now."""
        return self.assistant.status != Status.ARCHIVED and self.may_operate()

    def address(self, page: str = "change", *args: Any) -> str:
        """The address of a page about this assistant."""
        return reverse(f"admin:assistants_assistant_{page}", args=[self.assistant.pk, *args])

    def back(self, level: int, message: str) -> HttpResponseRedirect:
        """To the assistant, with a message."""
        messages.add_message(self.request, level, message)
        return HttpResponseRedirect(self.address())


class OneVersionPage(AssistantPage):
    """A page about one version of the assistant, the one in its path."""

    version: AssistantVersion

    def load(self, **kwargs: Any) -> None:
        super().load(**kwargs)
        self.version = queries.version(self.identity, self.assistant.pk, kwargs["number"])


class FormPage(FormView[forms.Form]):
    """A form whose writing may be refused; the reasons stand beside what was typed."""

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            return self.carry_out(form)
        except AppError as fault:
            self.explain(form, fault)
            return self.form_invalid(form)

    def carry_out(self, form: forms.Form) -> HttpResponse:
        """Do what the form says; raises AppError."""
        raise NotImplementedError

    def explain(self, form: forms.Form, fault: AppError) -> None:
        """Say what was wrong with what was typed."""
        form.add_error(None, faults_of(fault))


class ChangePage(AssistantPage, FormPage):
    """A form that changes an assistant. An archived one cannot be changed: its page says so instead."""

    writes = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.assistant.status == Status.ARCHIVED:
            return self.back(messages.WARNING, "The assistant is archived and cannot be changed; restore it first.")
        return super().get(request, *args, **kwargs)


def faults_of(fault: AppError) -> list[str]:
    """Each fault with its place in the configuration, or the whole in one sentence."""
    places = [f"{'.'.join(map(str, error.loc))}: {error.message}" for error in fault.errors if error.loc]
    return places or [fault.detail]
