"""Assistants for operators: a list, and a page for everything that can be looked at or done."""

from assistants.admin.assistant import AssistantAdmin
from assistants.admin.page import AssistantPage, Button, ChangePage

__all__ = ["AssistantAdmin", "AssistantPage", "Button", "ChangePage"]
