"""What is told to others: endpoints, events, their deliveries with each attempt, and alerts."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import Workspace
from core.models import DocumentField, created_field, id_field, one_of
from webhooks.kinds import Kind


class Endpoint(models.Model):
    """A subscription of a workspace, which the API calls a webhook: where some kinds of events are sent.

    `sealed_secret` is its signing secret (`whsec_...`), sealed by `accounts.vault`; after a rotation the old one signs
    beside it until `previous_until`.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2_000)
    events = ArrayField(models.CharField(max_length=32), help_text="The kinds that are sent there.")
    headers = DocumentField(default=dict, blank=True, help_text="Sent with each delivery.")
    retry_delays_s = ArrayField(
        models.PositiveIntegerField(), null=True, blank=True, help_text="Seconds before each further attempt."
    )
    enabled = models.BooleanField(db_default=True)
    disabled_reason = models.CharField(max_length=500, blank=True, db_default="", help_text="Why the server did it.")
    sealed_secret = models.BinaryField()
    previous_secret = models.BinaryField(null=True)
    previous_until = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(db_default=0, help_text="Attempts that failed since one arrived.")
    not_before = models.DateTimeField(null=True, help_text="Until when a failing one is left alone.")
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=255)
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "webhook_endpoints"
        verbose_name = "webhook"
        ordering = ["-created_at"]
        indexes = [
            models.Index("workspace", F("created_at").desc(), F("id").desc(), name="endpoint_newest"),
            models.Index(fields=["workspace"], condition=Q(enabled=True), name="endpoint_listening"),
        ]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """Something that happened and is told: its id is `webhook-id`, the same at every attempt.

    `data` is what was known in the transaction of what happened. `body`, the bytes that are signed and sent, is made of
    it before the first attempt, and then stays.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    run_id = models.UUIDField(null=True)
    data = DocumentField()
    body = models.TextField(null=True)
    created_at = created_field()

    class Meta:
        db_table = "webhook_events"
        constraints = [one_of("kind", Kind)]
        indexes = [
            models.Index(fields=["created_at"], name="webhook_event_age"),
            models.Index(fields=["run_id"], condition=Q(run_id__isnull=False), name="webhook_event_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.id)[-8:]}"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"  # it waits for an attempt
    DELIVERED = "delivered"  # the receiver answered 2xx
    DEAD = "dead"  # given up
    CANCELLED = "cancelled"  # its endpoint was deleted


class Delivery(models.Model):
    """One event on its way to one receiver: an endpoint's, or the one that a run named itself (`endpoint` is null).

    No constraint leads to the endpoint: deleting one must not stand in the way of a run that ends.
    `destination` is what stands for the receiver where turns are taken: the endpoint's id, or the URL's origin.
    One that somebody asks for again has `manual` set: it is sent though its endpoint is left alone or switched off.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, related_name="deliveries", null=True, db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=32)
    url = models.CharField(max_length=2_000)
    secret_env = models.CharField(max_length=200, null=True, help_text="A run's own: where its signing secret is.")
    destination = models.CharField(max_length=300)
    status = models.CharField(max_length=16, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempt_count = models.PositiveIntegerField(db_default=0)
    max_attempts = models.PositiveIntegerField()
    next_attempt_at = models.DateTimeField(null=True)
    manual = models.BooleanField(db_default=False, help_text="Somebody asked for the next attempt.")
    lease_owner = models.UUIDField(null=True, help_text="Who is sending it.")
    lease_expires_at = models.DateTimeField(null=True)
    last_status_code = models.PositiveIntegerField(null=True)
    last_error = models.CharField(max_length=1_000, blank=True, db_default="")
    created_at = created_field()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "webhook_deliveries"
        verbose_name_plural = "deliveries"
        constraints = [one_of("status", DeliveryStatus)]
        indexes = [
            models.Index(fields=["destination", "next_attempt_at"], condition=Q(status="pending"), name="delivery_due"),
            models.Index(fields=["destination"], condition=Q(lease_owner__isnull=False), name="delivery_under_way"),
            models.Index(
                fields=["next_attempt_at"], condition=Q(status="pending", manual=True), name="delivery_asked_for"
            ),
            models.Index("workspace", F("created_at").desc(), F("id").desc(), name="delivery_newest"),
            models.Index("endpoint", F("created_at").desc(), F("id").desc(), name="delivery_of_endpoint"),
            models.Index("workspace", "status", F("created_at").desc(), F("id").desc(), name="delivery_by_status"),
            models.Index("workspace", "kind", F("created_at").desc(), F("id").desc(), name="delivery_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.url}"


class Attempt(models.Model):
    """One try to deliver: what was sent and what came back. Signatures are kept shortened, answers up to 16 KiB."""

    id = id_field()
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    manual = models.BooleanField(db_default=False, help_text="Somebody asked for it.")
    started_at = models.DateTimeField()
    duration_ms = models.FloatField()
    request_headers = DocumentField(default=dict)
    status_code = models.PositiveIntegerField(null=True)
    response_headers = DocumentField(default=dict)
    response_body = models.TextField(blank=True)
    error = models.CharField(max_length=1_000, blank=True)

    class Meta:
        db_table = "webhook_attempts"
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.number}"


class Alert(models.Model):
    """Something is wrong and somebody should know: open until it is well again. Without a workspace, the server's.

    Of one subject (a schedule, a delivery) one alert of a kind is open at a time: what goes on failing is told once.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, null=True, db_index=False)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    subject = models.CharField(max_length=64, help_text="What it is about: an id, or the kind itself.")
    message = models.CharField(max_length=1_000)
    opened_at = created_field()
    resolved_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True, help_text="When somebody was told by e-mail that it opened.")
    mail_attempts = models.PositiveIntegerField(db_default=0)
    mail_not_before = models.DateTimeField(null=True, help_text="When the next mail is due; empty: none is.")

    class Meta:
        db_table = "alerts"
        ordering = ["-opened_at"]
        constraints = [
            one_of("kind", Kind),
            models.UniqueConstraint(
                fields=["workspace", "kind", "subject"],
                condition=Q(resolved_at__isnull=True),
                nulls_distinct=False,
                name="alert_open_once",
            ),
        ]
        indexes = [
            models.Index("workspace", F("opened_at").desc(), F("id").desc(), name="alert_newest"),
            models.Index(fields=["mail_not_before"], condition=Q(mail_not_before__isnull=False), name="alert_to_mail"),
        ]

    def __str__(self) -> str:
        return self.message
