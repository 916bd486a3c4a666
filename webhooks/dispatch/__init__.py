"""Deliveries are sent: claimed from the table, signed, tried, and tried again later.

The record is `webhook_deliveries`; Celery's queue carries doorbells only. What is told arrives at least once: whoever
sends one has it on lease, and where that process dies, another one sends it again with the same `webhook-id`.
"""
