"""The product's settings, with a shorter lease where a test asks for one: it has no variable of its own."""

import os

from config.settings import *  # noqa: F403

if lease_s := os.environ.get("FAULTS_LEASE_S"):
    RUNNER_LEASE_S = int(lease_s)
    TRANSACTION_S = min(TRANSACTION_S, 0.6 * RUNNER_LEASE_S)  # noqa: F405
    if RUNNER_LEASE_S < 15:
        WEBHOOK_LEASE_S = float(RUNNER_LEASE_S)
if slow_s := os.environ.get("FAULTS_SLOW_CLIENT_S"):
    SLOW_CLIENT_S = float(slow_s)
