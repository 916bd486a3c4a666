"""The admin's pages that come from elsewhere get their walls here, after all of them are registered."""

from typing import Any

from django.contrib import admin

from accounts.wall import ServerAdmin, WalledAdmin

for model, found in list(admin.site._registry.items()):
    if not isinstance(found, ServerAdmin | WalledAdmin) and model._meta.app_label == "django_celery_beat":
        walled: Any = type(type(found).__name__, (ServerAdmin, type(found)), {})
        admin.site.unregister(model)
        admin.site.register(model, walled)
