"""What of the server's own settings is secret: no text that it tells holds any of it."""

from urllib.parse import unquote, urlsplit

from django.conf import settings

from config.env import ENV
from core.redaction import everywhere

# A shorter one may be a word, as in a development setup, and is known by where it stands in a URL only.
_LONG = 16


def learn_settings() -> None:
    """Have the server's keys and passwords cut out of texts, as this process knows them."""
    everywhere.learn("SECRET_KEY", settings.SECRET_KEY)
    everywhere.learn("AGENT_SERVER_BOOTSTRAP_KEY", ENV.bootstrap_key)
    for key in ENV.encryption_keys:
        everywhere.learn("AGENT_SERVER_ENCRYPTION_KEYS", key)
    if ENV.email_server and len(ENV.email_server.password) >= _LONG:
        everywhere.learn("AGENT_SERVER_EMAIL_URL", ENV.email_server.password)
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL"):
        password = urlsplit(getattr(settings, name)).password or ""
        for form in {password, unquote(password)} - {""}:
            everywhere.learn(name, f":{form}@")
            if len(form) >= _LONG:
                everywhere.learn(name, form)
