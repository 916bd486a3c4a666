"""Calls of model providers, over all workers: limits on them, and a circuit breaker for providers that are down.

The counts are in Redis. Without it each worker goes by its own; lost they do no harm.
"""
