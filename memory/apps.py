from django.apps import AppConfig


class MemoryConfig(AppConfig):
    """What is remembered across sessions."""

    name = "memory"
