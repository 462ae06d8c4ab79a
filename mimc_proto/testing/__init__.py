"""A kit for tests of programs that embed the protocol: everything on a clock that only the test moves.

From the inside out: a `VirtualClock`; a `FaultyPipe` on it; a `LinkedPair` of links over a pipe; a `ScriptedServer`
that answers as told; a `Network` of hosts and ports; a `SessionDriver` that runs a session on all of this. Nothing
here waits, draws chance of its own, or needs a network: a test that fails once fails always.
``docs/how-to/test-your-program.md`` shows the use.
"""

from .clock import Alarm, Scheduled, Stuck, VirtualClock
from .links import Endpoint, LinkDriver, LinkedPair, Listener, serve
from .network import Attempt, Network
from .pipes import FaultyPipe, PipeEnd
from .scripted import AckRule, Received, ScriptedServer
from .scripted_links import ScriptedLink
from .sessions import AnyMessage, Session, SessionDriver
from .sources import Answer, Source
from .streams import Chance, Conditions, PipeUser, Side, Stream
from .users import APP_ID, FRONTEND, PACKAGE, example_user, resolver_answer, token_answer

__all__ = [
    "APP_ID",
    "FRONTEND",
    "PACKAGE",
    "AckRule",
    "Alarm",
    "Answer",
    "AnyMessage",
    "Attempt",
    "Chance",
    "Conditions",
    "Endpoint",
    "FaultyPipe",
    "LinkDriver",
    "LinkedPair",
    "Listener",
    "Network",
    "PipeEnd",
    "PipeUser",
    "Received",
    "Scheduled",
    "ScriptedLink",
    "ScriptedServer",
    "Session",
    "SessionDriver",
    "Side",
    "Source",
    "Stream",
    "Stuck",
    "VirtualClock",
    "example_user",
    "resolver_answer",
    "serve",
    "token_answer",
]
