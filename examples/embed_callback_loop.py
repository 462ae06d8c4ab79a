"""A MIMC user in a game's or a GUI's loop: `tick()` once a frame never blocks, threads do what can only block."""

import queue
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic, sleep
from typing import Any, assert_never

from application import Application, connect, fetch

from mimc_proto.session import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest


class Driver:
    """Performs a session's requests, carries its bytes, keeps its time."""

    def __init__(self, application: Application) -> None:
        self.application, self.session = application, application.session
        self.results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.link_id = 0  # the link that the session wants
        self.socket: socket.socket | None = None  # its connection, while there is one
        self.unsent = b""  # what a partial write left over
        self.session.connect(monotonic())

    def tick(self) -> bool:
        """Do all that can be done now; False when the session has ended."""
        while not self.results.empty():
            self.results.get()()
        due = self.session.get_timer()
        if not self.read() and due is not None and due <= monotonic():
            self.session.handle_timer(monotonic())  # no bytes wait: they might be what it is about
        while True:
            self.write()
            events, requests = self.session.events(), self.session.requests()
            if not (events or requests):
                return self.session.ended is None
            for event in events:
                self.application.on_event(event, monotonic())
            for request in requests:
                self.perform(request)

    def perform(self, request: SessionRequest) -> None:
        match request:
            case FetchToken(request_id=number):
                self.in_thread(partial(fetch, self.application.token), partial(self.session.token_fetched, number))
            case Resolve(request_id=number, url=url):
                self.in_thread(partial(fetch, url), partial(self.session.resolved, number))
            case OpenLink(link_id=number, host=host, port=port):
                self.link_id = number
                self.in_thread(partial(connect, host, port), partial(self.opened, number))
            case CloseLink(link_id=number):
                if number == self.link_id:
                    self.close()
            case _:
                assert_never(request)

    def in_thread(self, work: Callable[[], Any], then: Callable[[Any, float], None]) -> None:
        def run() -> None:
            result = work()
            self.results.put(lambda: then(result, monotonic()))  # only a tick calls the session

        threading.Thread(target=run, daemon=True).start()

    def opened(self, link_id: int, connection: socket.socket | OSError, now: float) -> None:
        if isinstance(connection, OSError):
            self.session.link_lost(link_id, connection, now)
        elif link_id != self.link_id:
            connection.close()  # it was given up in the meantime
        else:
            self.socket = connection
            self.session.link_opened(link_id, now)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.link_id, self.socket, self.unsent = 0, None, b""

    def lost(self, error: OSError | None) -> None:
        self.session.link_lost(self.link_id, error, monotonic())
        self.close()

    def read(self) -> bool:
        """Feed what waits, within reason; whether more may wait."""
        try:
            for _ in range(16):
                if self.socket is None:
                    return False
                if data := self.socket.recv(65_536):
                    self.session.receive_data(self.link_id, data, monotonic())
                else:
                    self.lost(None)  # the end of input
        except BlockingIOError:
            return False
        except OSError as error:
            self.lost(error)
        return True

    def write(self) -> None:
        try:
            while self.socket is not None:
                self.unsent = self.unsent or b"".join(self.session.data_to_send(self.link_id))
                if not self.unsent:
                    break  # more is taken only when all is written: what is not taken can go over the next link
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost(error)


if __name__ == "__main__":
    program = Application(__doc__)
    driver = Driver(program)
    while driver.tick():
        sleep(1 / 60)  # here a game draws its frame
    sys.exit(program.exit_code)
