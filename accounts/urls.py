from django.urls import include, path

from accounts import views
from accounts.api import ApiKeyDetail, ApiKeys, SecretDetail, Secrets, WsTickets

# The browsable API looks for its links to log in and out in this namespace.
browsable = (
    [path("login", views.sign_in, name="login"), path("logout", views.sign_out, name="logout")],
    "rest_framework",
)

urlpatterns = [
    path("", include(browsable)),
    path("sign-in/<str:token>", views.sign_in_by_link),
    path("api-keys", ApiKeys.as_view()),
    path("api-keys/<str:api_key_id>", ApiKeyDetail.as_view()),
    path("secrets", Secrets.as_view()),
    path("secrets/<str:name>", SecretDetail.as_view()),
    path("ws-tickets", WsTickets.as_view()),
]
