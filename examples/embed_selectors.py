"""A MIMC user in a blocking loop: selectors, and one non-blocking socket.

Tokens, addresses and connections are only asked for while nobody is online, so this program blocks to get them.
"""

import socket
import sys
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from time import monotonic
from typing import assert_never

from application import Application, connect, fetch

from mimc_proto.session import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest


class Driver:
    """Performs a session's requests, carries its bytes, keeps its time."""

    def __init__(self, application: Application) -> None:
        self.application, self.session = application, application.session
        self.selector = DefaultSelector()
        self.link_id = 0
        self.socket: socket.socket | None = None  # the connection of that link, while there is one
        self.unsent = b""  # what a partial write left over

    def run(self) -> None:
        """Log in, and return when the session has ended."""
        self.session.connect(monotonic())
        self.settle()
        while self.session.ended is None:
            due = self.session.get_timer()
            ready = self.selector.select(None if due is None else max(0.0, due - monotonic()))
            if any(mask & EVENT_READ for _, mask in ready):
                self.read()
            elif due is not None and due <= monotonic():  # and no bytes wait: the answer may be among them
                self.session.handle_timer(monotonic())
            self.settle()

    def settle(self) -> None:
        """Write, hand out events, perform requests; each may bring more of the others."""
        while True:
            self.write()
            events, requests = self.session.events(), self.session.requests()
            if not (events or requests):
                return
            for event in events:
                self.application.on_event(event, monotonic())
            for request in requests:
                self.perform(request)

    def perform(self, request: SessionRequest) -> None:
        match request:
            case FetchToken(request_id=number):
                self.session.token_fetched(number, fetch(self.application.token), monotonic())
            case Resolve(request_id=number, url=url):
                self.session.resolved(number, fetch(url), monotonic())
            case OpenLink(link_id=number, host=host, port=port):
                self.open(number, connect(host, port))
            case CloseLink(link_id=number):
                if number == self.link_id:
                    self.close()
            case _:
                assert_never(request)

    def open(self, link_id: int, connection: socket.socket | OSError) -> None:
        if isinstance(connection, OSError):
            self.session.link_lost(link_id, connection, monotonic())
        else:
            self.link_id, self.socket = link_id, connection
            self.selector.register(connection, EVENT_READ)
            self.session.link_opened(link_id, monotonic())

    def close(self) -> None:
        if self.socket is not None:
            self.selector.unregister(self.socket)
            self.socket.close()
        self.socket, self.unsent = None, b""

    def lost(self, error: OSError | None) -> None:
        self.close()
        self.session.link_lost(self.link_id, error, monotonic())

    def read(self) -> None:
        assert self.socket is not None  # nothing else is in the selector
        try:
            if data := self.socket.recv(65_536):
                self.session.receive_data(self.link_id, data, monotonic())
            else:
                self.lost(None)  # the end of input
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost(error)

    def write(self) -> None:
        try:
            while self.socket is not None and (self.unsent or self.take()):
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost(error)
        if self.socket is not None:
            self.selector.modify(self.socket, EVENT_READ | EVENT_WRITE if self.unsent else EVENT_READ)

    def take(self) -> bytes:  # only when all before is written: what is not taken can go over the next link
        self.unsent = b"".join(self.session.data_to_send(self.link_id))
        return self.unsent


if __name__ == "__main__":
    program = Application(__doc__)
    Driver(program).run()
    sys.exit(program.exit_code)
