"""What an operator sees of a server: log lines, and figures for Prometheus."""

from .journal import Journal, tell
from .lines import JsonFormatter, TextFormatter
from .metrics import Metrics
from .writing import LineHandler, logging_to

__all__ = ["Journal", "JsonFormatter", "LineHandler", "Metrics", "TextFormatter", "logging_to", "tell"]
