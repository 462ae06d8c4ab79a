"""Requests to the thread of the store: their order, their groups, and failures that cost nobody else an answer."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sqlite3
import weakref
from contextvars import ContextVar

import pytest
from mimc_server.frontend.storing import MOST_FAILURES, MOST_TOGETHER, StoreThread, Work
from mimc_server.service.requests import Append, ClaimSession, StoreRequest
from mimc_server.store import Kind, NewMessage, Stored, StoreError, UnknownUser
from support.disks import Disk
from support.frontends import town

pytestmark = pytest.mark.anyio

NOON = 1_800_000_000_000
APP = 7


class Bed:
    """A thread with a store, and the answers in the groups in which they came."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.alice = disk.user(APP, "alice", NOON)
        self.answers: dict[int, object] = {}
        self.groups: list[int] = []
        self.thread = StoreThread(disk, lambda: NOON, self._answered)
        self.ids = itertools.count(1)

    def _answered(self, answers: list[tuple[int, object]]) -> None:
        self.groups.append(len(answers))
        self.answers.update(answers)

    async def answers_to(self, requests: list[StoreRequest]) -> list[object]:
        """All of them are asked while the store does something else; then the thread is ended."""
        self.disk.stop()
        self.thread.ask([self.append(b"before")])
        await self.disk.waits()
        self.thread.ask([*requests])
        self.disk.go_on()
        await self.thread.close()
        return [self.answers[request.request_id] for request in requests]

    def append(self, payload: bytes) -> StoreRequest:
        request_id = next(self.ids)
        message = NewMessage(
            app_id=APP,
            sender=self.alice,
            resource="",
            epoch=0,
            packet_id=str(request_id),
            kind=Kind.P2P,
            target="bob",
            payload=payload,
            biz_type=None,
            is_store=True,
        )
        return Append(request_id=request_id, batch=[message])

    def claim_of_nobody(self) -> StoreRequest:
        return ClaimSession(
            request_id=next(self.ids), app_id=APP, account="nobody", uuid=1, resource="r", node="n1", issued_ms=NOON
        )

    def stored(self) -> list[bytes]:
        """What bob has in his inbox."""
        [bob] = [member for member in self.disk.users(APP, 0, 10) if member.account == "bob"]
        return [message.payload for message in self.disk.read_inbox(bob.uuid, 0, 1000, 1 << 20).messages]


async def test_requests_that_wait_are_performed_in_their_order_and_so_many_together(disk: Disk) -> None:
    bed = Bed(disk)
    answers = await bed.answers_to([bed.append(b"%d" % n) for n in range(MOST_TOGETHER + 1)])
    assert bed.groups == [1, MOST_TOGETHER, 1]
    assert bed.stored() == [b"before", *(b"%d" % n for n in range(MOST_TOGETHER + 1))]
    sequences = [answer[0].sequence for answer in answers]  # type: ignore[index]
    assert sequences == sorted(set(sequences))
    assert disk.commits == 4  # alice, and the three


async def test_work_between_requests_is_done_between_them_and_may_have_a_transaction_of_its_own(disk: Disk) -> None:
    bed = Bed(disk)
    seen: list[int] = []

    def work() -> None:
        with disk.transaction():
            seen.append(disk.statistics().messages)

    async with town(store=disk, threaded=True) as (place, _):
        disk.stop()
        first = asyncio.ensure_future(place.runner.perform(lambda: disk.append([*message(bed.append(b"1"))], NOON)))
        await disk.waits()
        second = asyncio.ensure_future(place.runner.perform(work))
        await asyncio.sleep(0)
        disk.go_on()
        await asyncio.gather(first, second)
    await bed.thread.close()
    assert seen == [1]


def message(request: StoreRequest) -> list[NewMessage]:
    assert isinstance(request, Append)
    return request.batch


ERRORS = [
    StoreError("the disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    KeyError("a mistake in the store"),
    SystemExit("who would do this?"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", [0, 1, 4])
async def test_one_request_that_fails_takes_nothing_from_the_others(
    disk: Disk, error: BaseException, place: int
) -> None:
    bed = Bed(disk)
    disk.poison[b"poison"] = error
    payloads = [b"1", b"2", b"3", b"4"]
    payloads.insert(place, b"poison")
    answers = await bed.answers_to([bed.append(payload) for payload in payloads])
    failed = [isinstance(answer, StoreError) for answer in answers]
    assert len(answers) == 5
    if isinstance(error, Exception):
        assert failed == [payload == b"poison" for payload in payloads]
        assert bed.stored() == [b"before", b"1", b"2", b"3", b"4"]
    else:
        assert all(failed)
        assert bed.stored() == [b"before"]
    assert disk.setting("a trace") is None


async def test_an_unknown_user_is_an_answer_and_undoes_nothing(disk: Disk) -> None:
    bed = Bed(disk)
    before, unknown, after = await bed.answers_to([bed.append(b"1"), bed.claim_of_nobody(), bed.append(b"2")])
    assert isinstance(unknown, UnknownUser)
    assert [isinstance(answer[0], Stored) for answer in (before, after)] == [True, True]  # type: ignore[index]
    assert disk.commits == 3  # alice, "before", and the three


async def test_a_medium_that_is_broken_is_not_asked_again_and_again(disk: Disk) -> None:
    bed = Bed(disk)
    broken = StoreError("the disk is full")
    disk.failures += [None, *[broken] * 1000]
    answers = await bed.answers_to([bed.append(b"%d" % n) for n in range(100)])
    assert answers == [broken] * 100
    assert 1000 - len(disk.failures) == 1 + MOST_FAILURES
    assert bed.stored() == [b"before"]


async def test_a_thread_goes_on_after_whatever_it_was_that_the_store_raised(disk: Disk) -> None:
    bed = Bed(disk)
    disk.poison[b"poison"] = SystemExit("who would do this?")
    bed.thread.ask([bed.append(b"poison")])
    [answer] = await bed.answers_to([bed.append(b"good")])
    assert isinstance(bed.answers[1], StoreError)
    assert isinstance(answer, list)


async def test_what_is_asked_after_the_end_is_not_done(disk: Disk) -> None:
    bed = Bed(disk)
    await bed.thread.close()
    await bed.thread.close()
    bed.thread.ask([bed.append(b"late")])
    await asyncio.sleep(0)
    assert disk.statistics().messages == 0


async def test_what_was_done_is_not_held_while_there_is_nothing_to_do(disk: Disk) -> None:
    class Value:
        pass

    bed, done = Bed(disk), asyncio.get_running_loop().create_future()
    bed.thread.ask([Work(Value, done)])
    value = weakref.ref(await done)
    del done
    await bed.thread.idle()
    for _ in range(1000):  # the thread may not have come to wait yet
        gc.collect()
        if value() is None:
            break
        await asyncio.sleep(0)
    assert value() is None
    await bed.thread.close()


async def test_answers_come_in_the_context_in_which_the_thread_was_made(disk: Disk) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("set")
    seen = []
    bed = Bed(disk)
    bed.thread._answered = lambda _: seen.append(variable.get())
    bed.thread._committed = lambda *_: seen.append(variable.get())
    variable.set("set later")
    bed.thread.ask([bed.append(b"x")])
    await bed.thread.close()
    assert seen == ["set", "set"]


async def test_who_raises_at_an_answer_keeps_nobody_else_from_his(disk: Disk) -> None:
    bed, problems = Bed(disk), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))
    error = RuntimeError("a mistake")

    def answered(answers: list[tuple[int, object]]) -> None:
        bed._answered(answers)
        if len(bed.answers) == 1:
            raise error

    bed.thread._answered = answered
    assert [type(answer) for answer in await bed.answers_to([bed.append(b"1")])] == [list]
    assert problems == [error]
