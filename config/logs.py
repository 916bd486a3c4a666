"""One form of log line for every role: readable, or one JSON object a line with `LOG_JSON`."""

import logging
import sys
from typing import Any

import structlog
from celery.signals import setup_logging
from structlog.types import EventDict, Processor, WrappedLogger

from config.env import ENV, BadEnvironment
from core.redaction import in_logs

# Their every-day lines would drown ours, and those of the HTTP clients show URLs and headers; their warnings stay.
_QUIET = ("celery", "django_celery_beat.schedulers", "httpcore", "httpcore2", "httpx", "httpx2", "watchfiles")
_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso" if ENV.log_json else "%H:%M:%S", utc=ENV.log_json),
]


def configure_logging(role: str) -> None:
    """Send the process's logs to standard output, from `LOG_LEVEL` up. Each role calls it first of all.

    `role` ("web") is what JSON lines are marked with; the others are read under `serve`, which shows it.
    """
    level = logging.getLevelNamesMapping().get(ENV.log_level)
    if level is None:
        raise BadEnvironment(f"LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {ENV.log_level!r}.")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        _Redacted(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(role)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # A client's mistake is not the server's warning, and no reason for a traceback.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # Celery sets its own logging up unless somebody listens here.
    setup_logging.connect(_leave_as_it_is, weak=False, dispatch_uid="config.logs")


class _Redacted(structlog.stdlib.ProcessorFormatter):
    """Cuts secrets out of whole lines: of libraries' messages and tracebacks as of ours."""

    def format(self, record: logging.LogRecord) -> str:
        return in_logs.line(super().format(record))


def _rendering(role: str) -> list[Processor]:
    if ENV.log_json:

        def mark(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
            return {"role": role, **event}

        return [mark, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=plain)]


def _leave_as_it_is(**_: Any) -> None:
    pass
