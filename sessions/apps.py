from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Conversations. The label differs from the package because Django's login store owns `sessions`."""

    name = "sessions"
    label = "agent_sessions"
    verbose_name = "Sessions"
