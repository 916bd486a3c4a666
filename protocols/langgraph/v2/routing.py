from django.urls import path

from protocols.langgraph.v2.consumers import ThreadConsumer

websocket_urlpatterns = [path("langgraph/threads/<str:thread_id>/stream/events", ThreadConsumer.as_asgi())]
