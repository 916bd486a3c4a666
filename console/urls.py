from django.urls import path

from console import views

app_name = "console"
urlpatterns = [
    path("", views.home, name="home"),
    path("status", views.status, name="status"),
    path("chat", views.chat, name="chat"),
    path("chat/conversations", views.sidebar, name="conversations"),
    path("chat/<uuid:session_id>", views.conversation, name="conversation"),
    path("chat/<uuid:session_id>/earlier", views.earlier, name="earlier"),
    path("chat/<uuid:session_id>/events", views.events, name="events"),
    path("chat/<uuid:session_id>/title", views.rename, name="rename"),
    path("chat/<uuid:session_id>/runs/<uuid:run_id>/calls/<str:call_id>", views.tool_call, name="tool_call"),
]
