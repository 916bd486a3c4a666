"""Workspaces and who may enter them."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.models import DocumentField, created_field, id_field, one_of


class Role(models.TextChoices):
    """What a person may do in a workspace; `accounts.permissions` gives each role its scopes."""

    MEMBER = "member"
    EDITOR = "editor"
    OPERATOR = "operator"
    ADMIN = "admin"


class Workspace(models.Model):
    """A tenant: a wall that no query looks over."""

    id = id_field()
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=64, unique=True)
    limits = models.JSONField(
        default=dict, blank=True, db_default={}, help_text="`accounts.limits`; empty: the default ones."
    )
    alert_emails = ArrayField(
        models.EmailField(), default=list, blank=True, db_default=[], help_text="Who is told by e-mail when it fails."
    )
    created_at = created_field()

    class Meta:
        db_table = "workspaces"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person who signs in to the admin and the console."""

    id = id_field()

    class Meta(AbstractUser.Meta):
        db_table = "users"


class Membership(models.Model):
    """A person's role in a workspace."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    invited = models.BooleanField(
        default=False, editable=False, help_text="This membership made the person, who got a link to choose a password."
    )
    created_by = models.CharField(max_length=255, null=True, editable=False)
    created_at = created_field()

    class Meta:
        db_table = "memberships"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user"], name="membership_once"),
            one_of("role", Role),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.workspace}"

    @property
    def is_pending(self) -> bool:
        """Whether this membership made the person, who has not chosen a password since.

        Not so for who runs the server or was shut out of it: that an invitation leads to them is not meant.
        """
        person = self.user
        is_ours = self.invited and person.is_active and not (person.is_staff or person.is_superuser)
        return is_ours and not person.has_usable_password()


class ApiKey(models.Model):
    """A credential of a workspace. The key itself is shown once; only its SHA-256 is kept."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=12, help_text="The key's first characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=32), default=list)
    user_id = models.CharField(
        max_length=255,
        null=True,
        blank=True,
        help_text="Bind the key to one end user: it sees only their sessions.",
    )
    rotated_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, editable=False, help_text="The key whose place this one takes."
    )
    created_by = models.CharField(max_length=255, null=True, editable=False)
    created_at = created_field()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    limits = models.JSONField(default=dict, blank=True, db_default={}, help_text="What it may take: `accounts.limits`.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "api_keys"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class RequestCount(models.Model):
    """How many requests a key or a workspace made in a minute, while Redis, which counts them else, is away."""

    pk = models.CompositePrimaryKey("holder_id", "minute")
    holder_id = models.UUIDField()
    minute = models.DateTimeField()
    requests = models.PositiveIntegerField()

    class Meta:
        db_table = "request_counts"

    def __str__(self) -> str:
        return f"{self.requests} requests of {self.holder_id} at {self.minute:%H:%M}"


class Secret(models.Model):
    """A value that assistants of the workspace use by its name. Nobody reads it back; see `accounts.vault`."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    name = models.CharField(max_length=64)
    ciphertext = models.BinaryField()
    hosts = ArrayField(models.CharField(max_length=300), help_text="Where it may be sent: host or host:port.")
    created_by = models.CharField(max_length=255)
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "secrets"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="secret_once_per_workspace")]

    def __str__(self) -> str:
        return self.name


class TicketPurpose(models.TextChoices):
    SIGN_IN = "sign_in"
    WEBSOCKET = "websocket"
    INVITATION = "invitation"


class Ticket(models.Model):
    """A credential that works once and expires: the sign-in link of `serve`, an invitation, a browser's websocket."""

    id = id_field()
    purpose = models.CharField(max_length=16, choices=TicketPurpose.choices)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, models.CASCADE, null=True)
    user = models.ForeignKey(User, models.CASCADE, null=True)
    path = models.CharField(max_length=500)
    identity = DocumentField(default=dict, help_text="Whom a websocket ticket stands for.")
    created_at = created_field()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "tickets"
        constraints = [one_of("purpose", TicketPurpose)]

    def __str__(self) -> str:
        return f"{self.purpose} ticket for {self.path}"


class IdempotencyKey(models.Model):
    """A request that was carried out once, and what it made. `caller` is the user that the caller is bound to."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    caller = models.CharField(max_length=255, blank=True)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    resource_id = models.UUIDField()
    further_ids = ArrayField(models.UUIDField(), db_default=[], help_text="What else it made, in order.")
    created_at = created_field()

    class Meta:
        db_table = "idempotency_keys"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "caller", "method", "path", "key"], name="idempotency_key_once"
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_oldest")]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.key}"


class AuditEntry(models.Model):
    """Who did what to which object, and when. Written in the transaction of the act, and never changed."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    actor = models.CharField(max_length=255)
    actor_id = models.UUIDField(null=True, help_text="The key or the person; two keys may have one name.")
    action = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.UUIDField(help_text="No foreign key: what was done to an object outlives it.")
    details = DocumentField(default=dict)
    created_at = created_field()

    class Meta:
        db_table = "audit_entries"
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(
                "workspace",
                "subject_id",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="audit_of_subject",
            ),
            models.Index("workspace", models.F("created_at").desc(), models.F("id").desc(), name="audit_newest"),
            models.Index(
                "workspace",
                "actor",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="audit_of_actor",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject_type} {str(self.subject_id)[-8:]}"
