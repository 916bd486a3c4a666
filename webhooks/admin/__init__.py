"""Webhooks, their deliveries and alerts for operators."""

from webhooks.admin.alerts import AlertAdmin
from webhooks.admin.deliveries import DeliveryAdmin
from webhooks.admin.endpoints import EndpointAdmin

__all__ = ["AlertAdmin", "DeliveryAdmin", "EndpointAdmin"]
