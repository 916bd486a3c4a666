"""Who belongs to the workspace, who asks, and the audit trail, over HTTP."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import audit, members, queries
from accounts.bodies import AddMember, ChangeMember
from accounts.documents import member_document, workspace_document
from accounts.identity import Identity
from accounts.models import Membership, Role
from accounts.permissions import identity_of
from accounts.serializers import (
    AuditEntryDocument,
    InvitationDocument,
    MeDocument,
    MemberDocument,
    MyWorkspaceDocument,
    NewMemberDocument,
)
from accounts.shown_once import create_shown_once
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, choices, identifier, paginate, read_no_query, text
from core.validation import Body, validate

_ORDERINGS = {"created_at": BY_AGE}
MEMBERS = Listing(_ORDERINGS, "-created_at", {"role": Filter("role__in", choices(Role))})
WORKSPACES = Listing(_ORDERINGS, "-created_at")
AUDIT = Listing(
    _ORDERINGS,
    "-created_at",
    {
        "actor": Filter("actor", text),
        "action": Filter("action", text),
        "subject_type": Filter("subject_type", text),
        "subject_id": Filter("subject_id", identifier),
    },
)


class Members(APIView):
    """The people of the workspace."""

    scope_family = "keys"
    idempotent = ("post",)

    @extend_schema(parameters=list_parameters(MEMBERS), responses=listed(MemberDocument))
    def get(self, request: Request) -> Response:
        query = MEMBERS.read(request.query_params)
        return Response(paginate(queries.members(identity_of(request)), query, member_document))

    @extend_schema(request=AddMember, responses={201: NewMemberDocument})
    def post(self, request: Request) -> Response:
        """Add a person; one whom nobody knows gets an invitation."""
        read_no_query(request.query_params)
        body = validate(AddMember, request.data)

        def make(identity: Identity, member_id: UUID) -> tuple[Membership, str | None]:
            return members.add_member(identity, body.username, body.role, body.email, membership_id=member_id)

        return create_shown_once(request, make, queries.get_member, member_document, "invitation")


class MemberDetail(APIView):
    """One member."""

    scope_family = "keys"

    @extend_schema(responses=MemberDocument)
    def get(self, request: Request, member_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(member_document(queries.get_member(identity_of(request), path_id(member_id))))

    @extend_schema(request=ChangeMember, responses=MemberDocument)
    def patch(self, request: Request, member_id: str) -> Response:
        """Give the member another role."""
        read_no_query(request.query_params)
        body = validate(ChangeMember, request.data)
        return Response(member_document(members.change_role(identity_of(request), path_id(member_id), body.role)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, member_id: str) -> Response:
        """Shut the person out of the workspace."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        members.remove_member(identity_of(request), path_id(member_id))
        return Response(status=204)


class MemberInvitation(APIView):
    """A new link for a member who has not chosen a password yet."""

    scope_family = "keys"

    @extend_schema(request=Body, responses={201: InvitationDocument})
    def post(self, request: Request, member_id: str) -> Response:
        """Invite the member again; earlier links end."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        return Response({"invitation": members.renew_invitation(identity_of(request), path_id(member_id))}, 201)


class Me(APIView):
    """Who asks."""

    scope_family = None

    @extend_schema(responses=MeDocument)
    def get(self, request: Request) -> Response:
        """The caller, as this request's key or login says, and what they may do."""
        read_no_query(request.query_params)
        identity = identity_of(request)
        workspace = queries.current_workspace(identity)
        return Response(
            {
                "workspace": workspace_document(workspace),
                "actor": identity.actor,
                "user_id": identity.user_id,
                "role": vars(workspace)["role"],
                "scopes": sorted(identity.scopes),
                "expires_at": queries.end_of(identity),
            }
        )


class Workspaces(APIView):
    """The workspaces that the caller may act in."""

    scope_family = None

    @extend_schema(parameters=list_parameters(WORKSPACES), responses=listed(MyWorkspaceDocument))
    def get(self, request: Request) -> Response:
        """One for a key, the memberships of a person, all for a superuser."""
        query, identity = WORKSPACES.read(request.query_params), identity_of(request)
        return Response(
            paginate(
                queries.workspaces(identity),
                query,
                lambda workspace: {
                    **workspace_document(workspace),
                    "role": vars(workspace)["role"],
                    "current": workspace.id == identity.workspace_id,
                },
            )
        )


class Audit(APIView):
    """Who did what, and when."""

    scope_family = "keys"

    @extend_schema(parameters=list_parameters(AUDIT), responses=listed(AuditEntryDocument))
    def get(self, request: Request) -> Response:
        """The audit trail; a caller that is bound to a user sees what it did itself."""
        query = AUDIT.read(request.query_params)
        return Response(paginate(audit.entries(identity_of(request)), query, audit.entry_document))
