from django.urls import path

from console import views
from console.settings import audit, keys, members, secrets

app_name = "console"
urlpatterns = [
    path("", views.home, name="home"),
    path("status", views.status, name="status"),
    path("workspace", views.switch_workspace, name="switch_workspace"),
    path("chat", views.chat, name="chat"),
    path("chat/conversations", views.sidebar, name="conversations"),
    path("chat/<uuid:session_id>", views.conversation, name="conversation"),
    path("chat/<uuid:session_id>/earlier", views.earlier, name="earlier"),
    path("chat/<uuid:session_id>/events", views.events, name="events"),
    path("chat/<uuid:session_id>/asked", views.asked, name="asked"),
    path("chat/<uuid:session_id>/todos", views.todos, name="todos"),
    path("chat/<uuid:session_id>/title", views.rename, name="rename"),
    path("chat/<uuid:session_id>/runs/<uuid:run_id>/calls/<str:call_id>", views.tool_call, name="tool_call"),
    path("settings/keys", keys.index, name="keys"),
    path("settings/keys/new", keys.create, name="new_key"),
    path("settings/keys/<uuid:key_id>/rotate", keys.rotate, name="rotate_key"),
    path("settings/keys/<uuid:key_id>/revoke", keys.revoke, name="revoke_key"),
    path("settings/members", members.index, name="members"),
    path("settings/members/new", members.add, name="new_member"),
    path("settings/members/<uuid:member_id>/role", members.change_role, name="member_role"),
    path("settings/members/<uuid:member_id>/remove", members.remove, name="remove_member"),
    path("settings/members/<uuid:member_id>/invite", members.invite, name="invite_member"),
    path("settings/secrets", secrets.index, name="secrets"),
    path("settings/new-secret", secrets.put, name="new_secret"),
    path("settings/secrets/<str:name>", secrets.put, name="secret"),
    path("settings/secrets/<str:name>/delete", secrets.delete, name="delete_secret"),
    path("settings/audit", audit.index, name="audit"),
]
