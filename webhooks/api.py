"""Webhooks, the log of what was delivered, and alerts over HTTP."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.identity import Identity
from accounts.permissions import identity_of
from accounts.shown_once import create_shown_once
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, choices, flag, identifier, paginate, read_no_query
from core.validation import Body, validate
from webhooks import queries, services
from webhooks.bodies import ChangeWebhook, CreateWebhook, RotateWebhook
from webhooks.documents import alert_document, delivery_document, delivery_log_document, endpoint_document
from webhooks.kinds import Kind
from webhooks.models import DeliveryStatus, Endpoint
from webhooks.serializers import (
    AlertDocument,
    DeliveryDocument,
    DeliveryLogDocument,
    NewWebhookDocument,
    WebhookDocument,
)

_ORDERINGS = {"created_at": BY_AGE}
WEBHOOKS = Listing(
    _ORDERINGS,
    "-created_at",
    {"enabled": Filter("enabled", flag), "event": Filter("events__overlap", choices(Kind))},
)
DELIVERIES = Listing(
    _ORDERINGS,
    "-created_at",
    {
        "webhook_id": Filter("endpoint_id", identifier),
        "event": Filter("kind__in", choices(Kind)),
        "status": Filter("status__in", choices(DeliveryStatus)),
        "run_id": Filter("event__run_id", identifier),
    },
)
ALERTS = Listing(
    {"opened_at": ("opened_at", "id")},
    "-opened_at",
    {"open": Filter("resolved_at__isnull", flag), "kind": Filter("kind__in", choices(Kind))},
)


class Webhooks(APIView):
    """Where the workspace has events sent to. A signing secret is shown once, in the answer that makes it."""

    scope_family = "webhooks"
    idempotent = ("post",)

    @extend_schema(parameters=list_parameters(WEBHOOKS), responses=listed(WebhookDocument))
    def get(self, request: Request) -> Response:
        query = WEBHOOKS.read(request.query_params)
        return Response(paginate(queries.endpoints(identity_of(request)), query, endpoint_document))

    @extend_schema(request=CreateWebhook, responses={201: NewWebhookDocument})
    def post(self, request: Request) -> Response:
        read_no_query(request.query_params)
        body = validate(CreateWebhook, request.data)

        def make(identity: Identity, endpoint_id: UUID) -> tuple[Endpoint, str]:
            return services.create_endpoint(identity, body, endpoint_id=endpoint_id)

        return create_shown_once(request, make, queries.get_endpoint, endpoint_document, "secret")


class WebhookDetail(APIView):
    """One webhook."""

    scope_family = "webhooks"

    @extend_schema(responses=WebhookDocument)
    def get(self, request: Request, webhook_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(endpoint_document(queries.get_endpoint(identity_of(request), path_id(webhook_id))))

    @extend_schema(request=ChangeWebhook, responses=WebhookDocument)
    def patch(self, request: Request, webhook_id: str) -> Response:
        """Change what the body has. Switched on again, the webhook counts as one that never failed."""
        read_no_query(request.query_params)
        body = validate(ChangeWebhook, request.data)
        return Response(endpoint_document(services.change_endpoint(identity_of(request), path_id(webhook_id), body)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, webhook_id: str) -> Response:
        """Forget the webhook: what is on its way there is cancelled, and the log stays."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        services.delete_endpoint(identity_of(request), path_id(webhook_id))
        return Response(status=204)


class WebhookRotation(APIView):
    """A webhook's next secret."""

    scope_family = "webhooks"
    idempotent = ("post",)

    @extend_schema(request=RotateWebhook, responses={201: NewWebhookDocument})
    def post(self, request: Request, webhook_id: str) -> Response:
        """Make a secret that takes this one's place; both sign for `overlap_s` seconds more."""
        read_no_query(request.query_params)
        body, its_id = validate(RotateWebhook, request.data), path_id(webhook_id)
        return create_shown_once(
            request,
            lambda identity, _: services.rotate_secret(identity, its_id, body.overlap_s),
            lambda identity, _: queries.get_endpoint(identity, its_id),
            endpoint_document,
            "secret",
        )


class WebhookTest(APIView):
    """An event for one webhook, to see what comes of it."""

    scope_family = "webhooks"

    @extend_schema(request=Body, responses={202: DeliveryDocument})
    def post(self, request: Request, webhook_id: str) -> Response:
        """Send an event of the kind `test`, once. A webhook that is switched off gets it too."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        return Response(delivery_document(services.send_test(identity_of(request), path_id(webhook_id))), 202)


class Deliveries(APIView):
    """What is, or was, on its way to receivers: webhooks, and those that runs name themselves."""

    scope_family = "webhooks"

    @extend_schema(parameters=list_parameters(DELIVERIES), responses=listed(DeliveryDocument))
    def get(self, request: Request) -> Response:
        query = DELIVERIES.read(request.query_params)
        return Response(paginate(queries.deliveries(identity_of(request)), query, delivery_document))


class DeliveryDetail(APIView):
    """One delivery: what was sent, and what came back at each attempt."""

    scope_family = "webhooks"

    @extend_schema(responses=DeliveryLogDocument)
    def get(self, request: Request, delivery_id: str) -> Response:
        read_no_query(request.query_params)
        delivery = queries.get_delivery(identity_of(request), path_id(delivery_id))
        return Response(delivery_log_document(delivery, queries.latest_attempts(delivery)))


class Redelivery(APIView):
    """A delivery that is sent again."""

    scope_family = "webhooks"

    @extend_schema(request=Body, responses={202: DeliveryDocument})
    def post(self, request: Request, delivery_id: str) -> Response:
        """Try once more, now, with the same `webhook-id`: a dead or delivered one too."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        return Response(delivery_document(services.redeliver(identity_of(request), path_id(delivery_id))), 202)


class Alerts(APIView):
    """What is, or was, wrong: in the workspace, and with the server."""

    scope_family = "webhooks"

    @extend_schema(parameters=list_parameters(ALERTS), responses=listed(AlertDocument))
    def get(self, request: Request) -> Response:
        query = ALERTS.read(request.query_params)
        return Response(paginate(queries.alerts(identity_of(request)), query, alert_document))


class AlertResolution(APIView):
    """The end of an alert."""

    scope_family = "webhooks"

    @extend_schema(request=Body, responses=AlertDocument)
    def post(self, request: Request, alert_id: str) -> Response:
        """Resolve an alert that nothing else does. If it happens again, there is a new one."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        return Response(alert_document(services.close_alert(identity_of(request), path_id(alert_id))))
