from django.urls import include, path

from accounts import views
from accounts.api import ApiKeyDetail, ApiKeyRotation, ApiKeys, SecretDetail, Secrets, WsTickets
from accounts.members_api import Audit, Me, MemberDetail, MemberInvitation, Members, Workspaces

# The browsable API looks for its links to log in and out in this namespace.
browsable = (
    [path("login", views.sign_in, name="login"), path("logout", views.sign_out, name="logout")],
    "rest_framework",
)

urlpatterns = [
    path("", include(browsable)),
    path("sign-in/<str:token>", views.sign_in_by_link),
    path("invitations/<str:token>", views.take_invitation),
    path("api-keys", ApiKeys.as_view()),
    path("api-keys/<str:api_key_id>", ApiKeyDetail.as_view()),
    path("api-keys/<str:api_key_id>/rotate", ApiKeyRotation.as_view()),
    path("members", Members.as_view()),
    path("members/<str:member_id>", MemberDetail.as_view()),
    path("members/<str:member_id>/invitation", MemberInvitation.as_view()),
    path("me", Me.as_view()),
    path("workspaces", Workspaces.as_view()),
    path("audit", Audit.as_view()),
    path("secrets", Secrets.as_view()),
    path("secrets/<str:name>", SecretDetail.as_view()),
    path("ws-tickets", WsTickets.as_view()),
]
