"""Keys, secrets and tickets over HTTP."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import openapi, queries, services  # noqa: F401 - drf-spectacular finds the schemes by their import
from accounts.bodies import CreateApiKey, CreateWsTicket, PutSecret, RotateApiKey
from accounts.documents import api_key_document, secret_document
from accounts.identity import Identity
from accounts.limits import Limits
from accounts.models import ApiKey, TicketPurpose
from accounts.permissions import identity_of
from accounts.serializers import ApiKeyDocument, NewApiKeyDocument, SecretDocument, WsTicketDocument
from accounts.shown_once import create_shown_once
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Listing, paginate, read_no_query
from core.validation import Body, validate

API_KEYS = Listing(orderings={"created_at": BY_AGE}, default="-created_at")

SECRETS = Listing(orderings={"name": ("name",), "created_at": BY_AGE}, default="name")


class ApiKeys(APIView):
    """The workspace's API keys. A key is shown once, in the answer that makes it."""

    scope_family = "keys"
    idempotent = ("post",)

    @extend_schema(parameters=list_parameters(API_KEYS), responses=listed(ApiKeyDocument))
    def get(self, request: Request) -> Response:
        query = API_KEYS.read(request.query_params)
        return Response(paginate(queries.api_keys(identity_of(request)), query, api_key_document))

    @extend_schema(request=CreateApiKey, responses={201: NewApiKeyDocument})
    def post(self, request: Request) -> Response:
        read_no_query(request.query_params)
        body = validate(CreateApiKey, request.data)
        limits = Limits(**body.limits.model_dump(exclude_unset=True))

        def make(identity: Identity, key_id: UUID) -> tuple[ApiKey, str]:
            return services.grant_api_key(
                identity,
                body.name,
                body.scopes,
                key_id=key_id,
                user_id=body.user_id,
                expires_at=body.expires_at,
                limits=limits,
            )

        return create_shown_once(request, make, queries.get_api_key, api_key_document, "key")


class ApiKeyDetail(APIView):
    """One API key."""

    scope_family = "keys"

    @extend_schema(responses=ApiKeyDocument)
    def get(self, request: Request, api_key_id: str) -> Response:
        read_no_query(request.query_params)
        key = queries.get_api_key(identity_of(request), path_id(api_key_id))
        return Response(api_key_document(key))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, api_key_id: str) -> Response:
        """Revoke the key; it stays in the list."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        services.revoke_api_key(identity_of(request), path_id(api_key_id))
        return Response(status=204)


class ApiKeyRotation(APIView):
    """A key's successor."""

    scope_family = "keys"
    idempotent = ("post",)

    @extend_schema(request=RotateApiKey, responses={201: NewApiKeyDocument})
    def post(self, request: Request, api_key_id: str) -> Response:
        """Make a key that takes this one's place, which works for `overlap_s` seconds more."""
        read_no_query(request.query_params)
        body, former = validate(RotateApiKey, request.data), path_id(api_key_id)

        def make(identity: Identity, key_id: UUID) -> tuple[ApiKey, str]:
            return services.rotate_api_key(
                identity, former, overlap_s=body.overlap_s, expires_at=body.expires_at, key_id=key_id
            )

        return create_shown_once(request, make, queries.get_api_key, api_key_document, "key")


class Secrets(APIView):
    """The workspace's secrets: their names and where they may be sent. No answer holds a value."""

    scope_family = "keys"

    @extend_schema(parameters=list_parameters(SECRETS), responses=listed(SecretDocument))
    def get(self, request: Request) -> Response:
        query = SECRETS.read(request.query_params)
        return Response(paginate(queries.secrets(identity_of(request)), query, secret_document))


class SecretDetail(APIView):
    """One secret, which configurations name as `secret:<name>`."""

    scope_family = "keys"

    @extend_schema(responses=SecretDocument)
    def get(self, request: Request, name: str) -> Response:
        read_no_query(request.query_params)
        return Response(secret_document(queries.get_secret(identity_of(request), name)))

    @extend_schema(request=PutSecret, responses={200: SecretDocument, 201: SecretDocument})
    def put(self, request: Request, name: str) -> Response:
        """Make the secret, or replace its value and its hosts. Runs that begin from now on use the new one."""
        read_no_query(request.query_params)
        body = validate(PutSecret, request.data)
        secret, is_new = services.put_secret(identity_of(request), name, body.value, body.hosts)
        return Response(secret_document(secret), status=201 if is_new else 200)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Forget the secret. Runs of assistants that name it end with the error `missing_secret`."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        services.delete_secret(identity_of(request), name)
        return Response(status=204)


class WsTickets(APIView):
    """Single-use tickets, by which a browser opens a websocket without showing its key."""

    scope_family = None

    @extend_schema(request=CreateWsTicket, responses={201: WsTicketDocument})
    def post(self, request: Request) -> Response:
        read_no_query(request.query_params)
        body = validate(CreateWsTicket, request.data)
        ticket, expires_at = services.issue_ticket(
            TicketPurpose.WEBSOCKET, path=body.path, identity=identity_of(request)
        )
        return Response({"ticket": ticket, "expires_at": expires_at}, status=201)
