"""The Celery app: `celery -A config.celery` and the doorbells of `runs.tasks`."""

import os
import sys

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_places = list(sys.path)
app = Celery("agent_server")
# Celery puts the folder where the server was started before all others. It comes last: a deployment's own graphs.py, or
# tools.py, must not be taken for a package of ours.
sys.path[:] = [*_places, *(place for place in sys.path if place not in _places)]
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: the models they need are not loaded yet.
app.steps["worker"].add("runs.worker.bootstep:RunnerStep")
app.steps["consumer"].add("runs.worker.bootstep:DoorbellStep")
