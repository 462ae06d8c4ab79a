"""The HTTP endpoints that clients need to log in and to make groups; paths, fields and codes as in rest.md.

Needs the extra ``[server]``. Ids are text in answers, and text or numbers in requests. The outcome is ``code`` of the
envelope ``{"code": 200, "message": "success", "data": ...}``, with HTTP status 200 throughout; only unknown paths and
methods and bodies that are too large have another one.
"""

from .answers import Caller, Failure, HttpService
from .app import make_app
from .door import MAX_BODY
from .serving import HttpFrontend

__all__ = ["MAX_BODY", "Caller", "Failure", "HttpFrontend", "HttpService", "make_app"]
