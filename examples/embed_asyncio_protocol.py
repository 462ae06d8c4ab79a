"""A MIMC user on asyncio: an `asyncio.Protocol` straight on the session, without `mimc_transports`."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, assert_never

from application import Answer, Application, fetch

from mimc_proto.session import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest


class Driver:
    """Performs a session's requests, carries its bytes, keeps its time."""

    def __init__(self, application: Application) -> None:
        self.application, self.session = application, application.session
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self.link: Link | None = None  # the newest
        self.timer: asyncio.TimerHandle | None = None
        self.session.connect(self.loop.time())
        self.settle()

    def settle(self) -> None:
        """After everything that was done to the session: write, events, requests; then the timer."""
        while True:
            if self.link is not None:
                self.link.write()
            events, requests = self.session.events(), self.session.requests()
            if not (events or requests):
                break
            for event in events:
                self.application.on_event(event, self.loop.time())
            for request in requests:
                self.perform(request)
        if self.session.ended is not None:
            self.ended.set()
        due = self.session.get_timer()
        if due is not None and (self.timer is None or due < self.timer.when()):
            if self.timer is not None:
                self.timer.cancel()
            # bytes that wait come before timers: asyncio sees to that, on uvloop it takes two turns more
            self.timer = self.loop.call_at(due, self.loop.call_soon, self.loop.call_soon, self.on_timer)

    def on_timer(self) -> None:
        self.timer = None
        self.session.handle_timer(self.loop.time())  # does nothing when the deadline has moved away
        self.settle()

    def perform(self, request: SessionRequest) -> None:
        match request:
            case FetchToken(request_id=number):
                self.ask(self.application.token, self.session.token_fetched, number)
            case Resolve(request_id=number, url=url):
                self.ask(url, self.session.resolved, number)
            case OpenLink(link_id=number, host=host, port=port):
                self.link = Link(self, number, host, port)
            case CloseLink(link_id=number):
                if self.link is not None and self.link.link_id == number:
                    self.link.opening.cancel()
                    if self.link.transport is not None:
                        self.link.transport.abort()
            case _:
                assert_never(request)

    def ask(self, source: str, answer: Callable[[int, Answer, float], None], number: int) -> None:
        def answered(future: asyncio.Future[Answer]) -> None:
            answer(number, future.result(), self.loop.time())
            self.settle()

        self.loop.run_in_executor(None, fetch, source).add_done_callback(answered)


class Link(asyncio.Protocol):
    """One connection. What it says when it is stale the session ignores, by its id."""

    def __init__(self, driver: Driver, link_id: int, host: str, port: int) -> None:
        self.driver, self.session, self.link_id = driver, driver.session, link_id
        self.transport: asyncio.Transport | None = None
        self.opening = driver.loop.create_task(self.open(host, port))

    async def open(self, host: str, port: int) -> None:
        try:
            await self.driver.loop.create_connection(lambda: self, host, port)
        except OSError as error:
            self.connection_lost(error)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(0)  # resume_writing comes when all is written
        self.session.link_opened(self.link_id, self.driver.loop.time())
        self.driver.settle()

    def data_received(self, data: bytes) -> None:
        self.session.receive_data(self.link_id, data, self.driver.loop.time())
        self.driver.settle()

    def connection_lost(self, error: Exception | None) -> None:
        self.session.link_lost(self.link_id, error, self.driver.loop.time())
        self.driver.settle()

    def resume_writing(self) -> None:
        self.driver.settle()

    def write(self) -> None:  # only what goes out at once: what is not taken can still go over the next link
        take = self.session.data_to_send
        while self.transport and not self.transport.get_write_buffer_size() and (frames := take(self.link_id)):
            self.transport.write(b"".join(frames))


async def main() -> int:
    driver = Driver(Application(__doc__))
    await driver.ended.wait()
    return driver.application.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
