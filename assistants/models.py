"""Assistants: named, versioned agent configurations."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from accounts.models import Workspace
from core.models import DocumentField, JSONDecoder, created_field, id_field, one_of


class Status(models.TextChoices):
    """Where an assistant is in its life: created -> active -> archived, and back to active by a restore."""

    CREATED = "created"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Assistant(models.Model):
    """The unit of deployment. `version` points at the configuration that new sessions use.

    What the row repeats of that version is there for filters, for claims and for limits, which then read no
    configuration.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="assistants")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    graph_id = models.CharField(max_length=200, null=True, help_text="Which of the hosted graphs, for type Graph.")
    description = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.CREATED)
    version = models.PositiveIntegerField(default=1)
    metadata = models.JSONField(default=dict, decoder=JSONDecoder)
    max_concurrent_runs = models.PositiveIntegerField(null=True)
    requests_per_minute = models.PositiveIntegerField(null=True)
    runs_per_day = models.PositiveIntegerField(null=True)
    tokens_per_day = models.BigIntegerField(null=True)
    labels = ArrayField(models.CharField(max_length=64), default=list, help_text="A worker that runs it has them all.")
    validation = DocumentField(default=dict)
    created_by = models.CharField(max_length=255, blank=True, default="")
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "assistants"
        constraints = [
            # Those of hosted graphs are LangGraph's, where a name may be used again.
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(graph_id=None), name="assistant_name_once_per_workspace"
            ),
            one_of("status", Status),
        ]
        indexes = [
            models.Index("workspace", models.F("created_at").desc(), models.F("id").desc(), name="assistant_newest"),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="assistant_metadata"),
            # Claims look these up.
            models.Index(
                fields=["workspace", "graph_id"], condition=Q(graph_id__isnull=False), name="assistant_of_graph"
            ),
            models.Index(fields=["id"], condition=~Q(labels=[]), name="assistant_labelled"),
            models.Index(fields=["id"], condition=Q(max_concurrent_runs__isnull=False), name="assistant_capped"),
        ]

    def __str__(self) -> str:
        return self.name


class AssistantVersion(models.Model):
    """An immutable snapshot of the whole configuration, defaults filled in.

    The database refuses to change one, and to delete one that its assistant outlives (migration 0003).
    """

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
