"""The server, from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator

from mimc_server.observing import logging_to, tell
from mimc_server.server import Server
from mimc_server.settings import Admin, Settings, SettingsError

from .developing import development_application
from .pasting import instructions

try:
    import uvloop
except ModuleNotFoundError:  # there is none for Windows
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop

__all__ = ["allow_descriptors", "how_to_add", "run", "serve"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

NO_APPLICATION = "nobody can log in without an application"


def run(main: Coroutine[object, object, None]) -> None:
    """On a loop of uvloop, where there is one: it needs less CPU for a message than asyncio's own."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


async def serve(settings: Settings, say: Callable[[str], None], *, development: bool) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not let connections take what waits for them.

    With ``development`` there is an application, and ``say`` gets what to paste into clients of it. SIGHUP has the
    certificate read again, if it is ignored until then. Raises what entering a `Server` raises.
    """
    with logging_to(sys.stderr, settings.log):
        allow_descriptors()
        async with Server(settings) as server:
            with _ended_by_signals(server) as ended:
                if development:
                    keys = await development_application(server)
                    for line in instructions(server.addresses, keys, _kept(settings)):
                        say(line)
                else:
                    _tell_start(server)
                await ended.wait()
                tell(logging.INFO, "stopping")
                await server.stop()


def allow_descriptors() -> None:
    """As many as the system lets this process have: each connection is one, and the usual limit is 1 024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _kept(settings: Settings) -> str:
    path = settings.database_path
    return "it is in memory and forgets everything at its end" if path is None else f"its data is in {path.parent}"


def _tell_start(server: Server) -> None:
    listening = {**dict(server.addresses), "metrics": server.operating.addresses}
    bound = {kind: ",".join(map(str, addresses)) for kind, addresses in listening.items() if addresses}
    settings = server.settings
    kept, loop = settings.database_path or "memory", type(asyncio.get_running_loop()).__module__.partition(".")[0]
    tell(logging.INFO, "serving", **bound, database=kept, admin=settings.admin_socket, loop=loop)
    if not list(server.applications):
        tell(logging.WARNING, "no-application", hint=f"{NO_APPLICATION}; {how_to_add(settings)}")


def how_to_add(settings: Settings) -> str:
    """How to make an application with a server of these settings, in a form to paste."""
    socket = settings.admin_socket
    if socket is None:
        return "mimc serve --dev makes one, and mimc admin does where there is an admin socket (admin.socket)"
    by_folder = settings.data is not None and settings.admin == Admin()
    where = ("--data", settings.data) if by_folder else ("--socket", socket)
    return f"make one: mimc admin {shlex.join(map(str, where))} applications add PACKAGE"


def _renew(server: Server) -> None:
    try:
        renewed = server.renew_certificates()
    except SettingsError as error:
        tell(logging.ERROR, "certificate-kept", error=str(error))
    else:
        if renewed:
            tell(logging.INFO, "certificate-renewed", file=server.settings.tls.certificate)


@contextlib.contextmanager
def _ended_by_signals(server: Server) -> Iterator[asyncio.Event]:
    """Set at Ctrl-C, or by whoever stops services; at the next one the server is in a hurry."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def signalled() -> None:
        if ended.is_set():
            server.hurry()
        ended.set()

    handlers: dict[int, Callable[[], None]] = dict.fromkeys(SIGNALS, signalled)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        handlers[signal.SIGHUP] = lambda: _renew(server)
    before = {number: signal.getsignal(number) for number in handlers}
    added = []
    with contextlib.suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task instead
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
            added.append(number)
    try:
        yield ended
    finally:
        for number in added:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])  # the loop would make it what the system makes of it
