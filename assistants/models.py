"""Assistants: named, versioned agent configurations."""

from django.db import models

from accounts.models import Workspace
from core.models import JSONDecoder, created_field, id_field, one_of


class Status(models.TextChoices):
    """Where an assistant is in its life: created -> active -> archived, and back to active by a restore."""

    CREATED = "created"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Assistant(models.Model):
    """The unit of deployment. `version` points at the configuration that new sessions use."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="assistants")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    description = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATED)
    version = models.PositiveIntegerField(default=1)
    max_concurrent_runs = models.PositiveIntegerField(
        null=True, help_text="Copied from the current version, so that claiming a run reads no configuration."
    )
    validation = models.JSONField(default=dict)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "assistants"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="assistant_name_once_per_workspace"),
            one_of("status", Status),
        ]
        indexes = [
            models.Index("workspace", models.F("created_at").desc(), models.F("id").desc(), name="assistant_newest")
        ]

    def __str__(self) -> str:
        return self.name


class AssistantVersion(models.Model):
    """An immutable snapshot of the whole configuration, defaults filled in."""

    id = id_field()
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    config = models.JSONField(decoder=JSONDecoder)
    change_note = models.TextField(blank=True, default="")
    source_version = models.PositiveIntegerField(null=True)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = created_field()

    class Meta:
        db_table = "assistant_versions"
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["assistant", "number"], name="assistant_version_once")]

    def __str__(self) -> str:
        return f"{self.assistant} v{self.number}"


class AssistantTag(models.Model):
    """A label such as `stable` that points at one version and may be moved."""

    id = id_field()
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="version_tags")
    name = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    updated_at = created_field()

    class Meta:
        db_table = "assistant_tags"
        constraints = [models.UniqueConstraint(fields=["assistant", "name"], name="assistant_tag_once")]

    def __str__(self) -> str:
        return f"{self.name} -> v{self.version}"
