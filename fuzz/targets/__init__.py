"""What is fuzzed: each target takes bytes and raises if a law is broken. Nothing else may come out of one.

The laws: only declared errors; the same whatever the reads are cut into; what can be read can be written and read
again; a session, a service, the identity cache and the endpoints raise nothing for what a peer says.
"""

from . import answers, endpoints, links, sessions, websocket, wire
from .target import Target

__all__ = ["TARGETS", "Target"]

TARGETS: dict[str, Target] = {
    name: found
    for module in (wire, links, sessions, answers, endpoints, websocket)
    for name, found in vars(module).items()
    if isinstance(found, Target)
}
"""By name."""
