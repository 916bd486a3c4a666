from django.urls import path

from webhooks.api import (
    AlertResolution,
    Alerts,
    Deliveries,
    DeliveryDetail,
    Redelivery,
    WebhookDetail,
    WebhookRotation,
    Webhooks,
    WebhookTest,
)

urlpatterns = [
    path("webhooks", Webhooks.as_view()),
    path("webhooks/<str:webhook_id>", WebhookDetail.as_view()),
    path("webhooks/<str:webhook_id>/rotate", WebhookRotation.as_view()),
    path("webhooks/<str:webhook_id>/test", WebhookTest.as_view()),
    path("webhook-deliveries", Deliveries.as_view()),
    path("webhook-deliveries/<str:delivery_id>", DeliveryDetail.as_view()),
    path("webhook-deliveries/<str:delivery_id>/redeliver", Redelivery.as_view()),
    path("alerts", Alerts.as_view()),
    path("alerts/<str:alert_id>/resolve", AlertResolution.as_view()),
]
