"""An assistant at a glance, one of its versions, and its history."""

from typing import Any

from django.core.paginator import Paginator

from accounts.admin.audit import details_of
from assistants import queries
from assistants.admin.configuration import summary
from assistants.admin.page import AssistantPage, OneVersionPage
from assistants.models import Assistant, AssistantVersion
from core.admin import CappedPaginator, spoken

VERSIONS_PER_PAGE = 10
ENTRIES_PER_PAGE = 50


class OverviewPage(AssistantPage):
    """The change page: everything can be read, and leads on to what can be done."""

    template_name = "admin/assistants/overview.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        current = queries.version(self.identity, self.assistant.pk, self.assistant.version)
        versions = queries.versions(self.identity, self.assistant.pk).defer("config")
        page = Paginator(versions, VERSIONS_PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            title=self.assistant.name,
            buttons=self.model_admin.buttons(self),
            tags=[
                {"text": f"{tag.name} → {tag.version}", "version": tag.version}
                for tag in self.assistant.version_tags.all()
            ],
            checks=_checks(self.assistant),
            checked_at=self.assistant.validation["checked_at"][:19].replace("T", " "),
            page=page,
            versions=[(version, tags_of(self.assistant, version)) for version in page],
            **summary(current.config),
            **kwargs,
        )


class VersionPage(OneVersionPage):
    """One version; it never changes."""

    template_name = "admin/assistants/version.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            title=f"{self.assistant} version {self.version.number}",
            version=self.version,
            compare=self._compare(),
            tags=tags_of(self.assistant, self.version),
            **summary(self.version.config),
            **kwargs,
        )

    def _compare(self) -> list[tuple[str, str]]:
        """With the version before it, and with the current one: what is said, and the address."""
        number, current = self.version.number, self.assistant.version
        pages = {}
        if number > 1:
            pages[f"Compare with {number - 1}"] = f"?from={number - 1}&to={number}"
        if number not in {current, current + 1}:
            pages["Compare with the current"] = f"?from={number}&to={current}"
        return [(text, self.address("compare") + query) for text, query in pages.items()]


class HistoryPage(AssistantPage):
    """Who did what to the assistant: its part of the audit trail."""

    template_name = "admin/assistants/history.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        entries = queries.audit_trail(self.identity, self.assistant.pk).order_by("-created_at", "-id")
        page = CappedPaginator(entries, ENTRIES_PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            title=f"History of {self.assistant}",
            page=page,
            entries=[(entry, spoken(entry.action), details_of(entry)) for entry in page],
            **kwargs,
        )


def tags_of(assistant: Assistant, version: AssistantVersion) -> list[str]:
    """The tags that point at the version."""
    return [tag.name for tag in assistant.version_tags.all() if tag.version == version.number]


def _checks(assistant: Assistant) -> list[dict[str, str]]:
    """The findings of the last look, those first that need somebody."""
    found = [
        {"result": ("note" if check["message"] else "ok") if check["ok"] else "failed", **check}
        for check in assistant.validation["checks"]
    ]
    return sorted(found, key=lambda check: ["failed", "note", "ok"].index(check["result"]))
