"""The HTTP endpoints of clients and of applications' servers; paths, fields and codes as in rest.md.

Needs the extra ``[server]``. Ids are text in answers, and text or numbers in requests. The outcome is ``code`` of the
envelope ``{"code": 200, "message": "success", "data": ...}``, with HTTP status 200 throughout; only unknown paths and
methods and bodies that are too large have another one. docs/reference/http-api.md describes them all.
"""

from .app import make_app
from .callers import Caller
from .door import MAX_BODY
from .envelope import AnswerCode, Failure
from .service import HttpService
from .serving import HttpFrontend
from .watching import GroupWatcher, Perform, RunnerGroups, at_once

__all__ = [
    "MAX_BODY",
    "AnswerCode",
    "Caller",
    "Failure",
    "GroupWatcher",
    "HttpFrontend",
    "HttpService",
    "Perform",
    "RunnerGroups",
    "at_once",
    "make_app",
]
