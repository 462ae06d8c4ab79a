"""What the embed_*.py examples have in common, and what has nothing to do with driving a session.

It sends one message, prints those that come, and logs out when it has the verdict and enough of them.
"""

from __future__ import annotations

import argparse
import shlex
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from random import SystemRandom
from time import monotonic

from mimc_proto import MimcError
from mimc_proto.session import (
    Acknowledged,
    ClientSession,
    Failed,
    MessagesDelivered,
    Rejected,
    SessionEvent,
    TooManyWaiting,
    Verdict,
)

__all__ = ["Answer", "Application", "connect", "fetch"]

Answer = bytes | Exception
"""What a session takes as an answer: the body as it came, or what came instead."""

MOST = 65_537  # bytes of an answer: the session refuses more than 64 KiB


def fetch(source: str) -> Answer:
    """The answer of an http(s) URL, what a command prints ("!command"), or what a file holds. Blocks up to 10 s."""
    try:
        if source.startswith(("http://", "https://")):
            with urllib.request.urlopen(source, timeout=10) as answer:
                return bytes(answer.read(MOST))
        if source.startswith("!"):
            return subprocess.run(shlex.split(source[1:]), check=True, stdout=subprocess.PIPE, timeout=10).stdout
        with Path(source).open("rb") as file:
            return file.read(MOST)
    except Exception as error:  # whatever it is, the session reports it (TokenFailed) and asks again later
        return error


def connect(host: str, port: int) -> socket.socket | OSError:
    """A non-blocking socket, connected, or why there is none. Blocks up to 5 s for each address of the host."""
    try:
        connection = socket.create_connection((host, port), timeout=5)
    except OSError as error:
        return error
    connection.setblocking(False)
    return connection


class Application:
    """The user's side of a session: its arguments, what it sends, and what it does about events."""

    def __init__(self, description: str | None) -> None:
        parser = _parser(description)
        args = parser.parse_args()
        self.token: str = args.token
        self._missing: int = args.receive
        self._verdict: Verdict | None = None
        now = monotonic()
        try:
            self.session = ClientSession(
                args.app_id, args.account, rng=SystemRandom(), now=now, addresses=args.address, resolver=args.resolver
            )
            self.session.send(args.to, args.text.encode(), now=now, timeout=args.timeout)  # waits for the login
        except MimcError as error:
            parser.error(str(error))

    def on_event(self, event: SessionEvent, now: float) -> None:
        """Print it; say when messages are consumed; log out when nothing is left to do."""
        print(event, file=sys.stderr, flush=True)  # shows payloads by their length, and no secrets
        match event:
            case MessagesDelivered(receipt=receipt, messages=messages):
                for message in messages:
                    print(f"{message.from_account}: {message.payload!r}", flush=True)
                self._missing -= len(messages)
                self.session.consumed(receipt, now)  # from now on the server may forget them
            case TooManyWaiting(receipt=receipt):
                self.session.consumed(receipt, now)  # not skip(): what waits is wanted
            case Acknowledged() | Rejected() | Failed():
                self._verdict = event
            case _:
                pass
        if self._verdict is not None and self._missing <= 0:
            self.session.logout(now)  # what was consumed is acknowledged before

    @property
    def exit_code(self) -> int:
        """0 if the message was acknowledged and as many came as were waited for."""
        return 0 if isinstance(self._verdict, Acknowledged) and self._missing <= 0 else 1


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("app_id", type=int)
    parser.add_argument("account", help="who logs in")
    parser.add_argument("to", help="the account to send to")
    parser.add_argument("text", help="the message to send")
    parser.add_argument("--token", required=True, help="the token answer: a file, a URL, or !COMMAND that prints it")
    parser.add_argument("--address", type=_address, action="append", default=[], help="HOST:PORT of a frontend")
    parser.add_argument("--resolver", default="https://resolver.msg.xiaomi.net", help="asked if there is no --address")
    parser.add_argument("--receive", type=int, default=0, metavar="N", help="messages to wait for (default: none)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for the message to be acknowledged")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
