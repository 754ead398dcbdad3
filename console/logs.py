"""Structured logs: one line an event, key=value on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys

import structlog


def _without_traceback(record: logging.LogRecord) -> bool:
    """What Django refuses, 403 or 404, is the client's doing and one line; where it raised tells nothing."""
    if record.name == "django.request" and getattr(record, "status_code", 500) < 500:
        record.exc_info = None
    return True


def configure(level: str) -> None:
    """Send the standard library's loggers and structlog's through one chain to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                final,
            ],
        )
    )
    handler.addFilter(_without_traceback)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # django-q2 logs each task at INFO; ours say what was done.
    for noisy in ("django-q", "mail.log", "asyncio"):
        logging.getLogger(noisy).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
