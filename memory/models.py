"""The store: JSON documents under a namespace and a key, across sessions."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Workspace
from core.models import DocumentField, created_field, id_field


class StoreItem(models.Model):
    """One document. A caller bound to a user has a store of their own: `user_id`, empty for everybody else's."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    user_id = models.CharField(max_length=255, blank=True, default="")
    namespace = ArrayField(models.TextField())
    key = models.TextField()
    value = DocumentField()
    ttl_minutes = models.FloatField(null=True, help_text="How long it is kept after it was written, or read last.")
    expires_at = models.DateTimeField(null=True)
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "store_items"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user_id", "namespace", "key"], name="store_item_once")
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=models.Q(expires_at__isnull=False), name="store_item_expiring"
            )
        ]

    def __str__(self) -> str:
        return self.key
