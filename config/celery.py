"""The Celery app: `celery -A config.celery` and the doorbells of `runs.tasks`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("agent_server")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: the models they need are not loaded yet.
app.steps["worker"].add("runs.worker.bootstep:RunnerStep")
app.steps["consumer"].add("runs.worker.bootstep:DoorbellStep")
