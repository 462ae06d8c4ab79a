"""The identity cache: who a user was, told to every adapter, and the file itself."""

from __future__ import annotations

import gc
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mimc_server.testing import LoopbackService
from mimc_transports._cache import IdentityCache, default_folder, token_text
from support.adapters import OnAsyncio
from support.town import QUICK, Back, Town, impatient

from mimc_proto import LocalProtocolError, LoginTimeout
from mimc_proto.testing import APP_ID, token_answer

UNIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


class Counted:
    """A token function that counts."""

    def __init__(self, town: Town, account: str = "alice") -> None:
        self.calls = 0
        self._source = town.service.token(town.name(account))

    def __call__(self) -> str:
        self.calls += 1
        return self._source()


def kept(folder: Path) -> dict[str, Any]:
    """What the one file holds."""
    [path] = folder.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def change(folder: Path, **values: Any) -> None:
    """Change what the one file holds."""
    [path] = folder.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "mimc.cache" and record.levelno >= logging.WARNING
    ]


# ------------------------------------------------------------------------------------------------------ every adapter


def test_the_next_login_is_with_the_same_resource_and_token(town: Town, tmp_path: Path) -> None:
    token, resources = Counted(town), []

    async def story() -> None:
        for _ in range(3):
            async with town.user("alice", token=token, resource=None, cache=tmp_path) as alice:
                resources.append(alice.session.resource)
                assert [who.resource for who in town.service.sessions()] == [alice.session.resource]

    town.adapter.run(story)
    assert token.calls == 1
    assert len(set(resources)) == 1


def test_addresses_that_the_resolver_gave_are_tried_before_it_is_asked(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        options: dict[str, Any] = {"addresses": (), "resource": None, "cache": tmp_path}
        async with town.user("alice", resolver=town.service.http_url, **options):
            pass
        assert kept(tmp_path)["addresses"] == [list(town.service.address)]
        async with town.user("alice", resolver="http://127.0.0.1:1", **options) as alice:
            assert alice.session.known_addresses == (town.service.address,)

    town.adapter.run(story)


def test_the_resolver_is_asked_again_when_the_addresses_do_not_help(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        options: dict[str, Any] = {"addresses": (), "resource": None, "cache": tmp_path, "config": QUICK}
        async with town.user("alice", resolver=town.service.http_url, **options):
            pass
        change(tmp_path, addresses=[["127.0.0.1", 1]])
        async with town.user("alice", resolver=town.service.http_url, **options):
            assert kept(tmp_path)["addresses"] == [list(town.service.address)]

    town.adapter.run(story)


def test_a_token_that_is_good_no_more_is_replaced(town: Town, tmp_path: Path) -> None:
    token = Counted(town)

    async def story() -> None:
        options: dict[str, Any] = {"token": token, "resource": None, "cache": tmp_path, "config": QUICK}
        async with town.user("alice", **options):
            before = kept(tmp_path)
        town.service.expire_tokens(town.name("alice"))
        async with town.user("alice", **options) as alice:
            assert alice.session.resource == before["resource"]
            assert kept(tmp_path)["token"] != before["token"]
        assert token.calls == 2
        async with town.user("alice", **options):
            pass
        assert token.calls == 2

    town.adapter.run(story)


def test_a_token_that_expires_during_a_session_is_replaced_in_the_file(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        back = Back(town.adapter)
        async with town.user("alice", resource=None, cache=tmp_path, config=QUICK, on_status=back.on_status):
            before = kept(tmp_path)
            town.service.expire_tokens(town.name("alice"))
            await back.wait()
            after = kept(tmp_path)
        assert after["token"] != before["token"]
        assert after["resource"] == before["resource"]

    town.adapter.run(story)


def test_a_second_user_object_takes_another_resource(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        options: dict[str, Any] = {"resource": None, "cache": tmp_path}
        async with town.user("alice", **options) as first:
            before = kept(tmp_path)
            async with town.user("alice", **options) as second:
                assert first.session.resource != second.session.resource
                assert first.online
            assert kept(tmp_path) == before
        assert len(warnings_of(caplog)) == 1
        assert "in use: this program logs in with another resource" in warnings_of(caplog)[0]
        async with town.user("alice", **options) as third:
            assert third.session.resource == first.session.resource

    town.adapter.run(story)


def test_a_resource_that_is_given_has_a_file_of_its_own(town: Town, tmp_path: Path) -> None:
    token = Counted(town)

    async def story() -> None:
        for resource in ("pc", "phone", "pc", "phone"):
            async with town.user("alice", token=token, resource=resource, cache=tmp_path) as alice:
                assert alice.session.resource == resource

    town.adapter.run(story)
    assert token.calls == 2
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_nothing_is_written_by_default(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    async def story() -> None:
        async with town.user("alice", resource=None):
            pass

    town.adapter.run(story)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_true_is_the_users_folder_for_caches(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "made"))

    async def story() -> None:
        async with town.user("alice", resource=None, cache=True):
            pass

    town.adapter.run(story)
    assert kept(tmp_path / "made" / "mimc-proto")["account"] == town.name("alice")


def test_a_folder_that_cannot_be_is_only_a_warning(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    async def story() -> None:
        async with town.user("alice", resource=None, cache=blocked / "folder") as alice:
            assert alice.online

    town.adapter.run(story)
    [warning] = warnings_of(caplog)
    assert warning.startswith(f"identities cannot be kept in {blocked / 'folder'}")


GARBAGE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"\xff\xfe\x00",
    "a list": lambda _: b"[]",
    "a number": lambda _: b"1",
    "deep": lambda _: b"[" * 100_000,
    "too large": lambda good: json.dumps({**good, "more": " " * 300_000}).encode(),
    "cut off": lambda good: json.dumps(good).encode()[:-20],
    "other version": lambda good: json.dumps({**good, "version": 2}).encode(),
    "no version": lambda good: json.dumps({name: value for name, value in good.items() if name != "version"}).encode(),
    "other account": lambda good: json.dumps({**good, "account": "mallory"}).encode(),
    "other application": lambda good: json.dumps({**good, "app_id": 1}).encode(),
    "no resource": lambda good: json.dumps({**good, "resource": ""}).encode(),
    "strange resource": lambda good: json.dumps({**good, "resource": ["pc"]}).encode(),
    "long resource": lambda good: json.dumps({**good, "resource": "x" * 10_000}).encode(),
    "surrogate": lambda good: json.dumps({**good, "resource": "\ud800"}).encode(),
    "strange token": lambda good: json.dumps({**good, "token": 7}).encode(),
    "strange addresses": lambda good: json.dumps({**good, "addresses": [["127.0.0.1", "5222"]]}).encode(),
    "long address": lambda good: json.dumps({**good, "addresses": [["x" * 10_000, 5222]]}).encode(),
    "no port": lambda good: json.dumps({**good, "addresses": [["127.0.0.1", 0]]}).encode(),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_cannot_be_read_is_set_aside(
    service: LoopbackService, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    town = Town(OnAsyncio(), service)  # it is read where all adapters are the same
    token = Counted(town)

    async def story() -> None:
        options: dict[str, Any] = {"token": token, "resource": None, "cache": tmp_path}
        async with town.user("alice", **options):
            pass
        [path] = tmp_path.glob("*.json")
        broken = GARBAGE[what](json.loads(path.read_bytes()))
        path.write_bytes(broken)
        async with town.user("alice", **options) as alice:
            assert alice.online
            assert len(alice.session.resource) < 100
        assert path.with_suffix(".unreadable").read_bytes() == broken
        assert kept(tmp_path)["resource"] == alice.session.resource

    town.adapter.run(story)
    assert token.calls == 2
    [warning] = warnings_of(caplog)
    assert "cannot be read and is set aside as" in warning


def test_a_token_that_is_of_somebody_else_is_fetched_anew(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = Counted(town)

    async def story() -> None:
        options: dict[str, Any] = {"token": token, "resource": None, "cache": tmp_path}
        async with town.user("alice", **options) as alice:
            before = alice.session.resource
        change(tmp_path, token=town.service.token_answer(town.name("bob")))
        async with town.user("alice", **options) as alice:
            assert alice.session.resource == before
        assert token.calls == 2

    town.adapter.run(story)
    [warning] = warnings_of(caplog)
    assert warning.startswith("a token that was kept cannot be used: ")


def test_secrets_are_not_logged(town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    secrets = []

    async def story() -> None:
        options: dict[str, Any] = {"resource": None, "cache": tmp_path, "config": QUICK}
        for _ in range(2):
            async with town.user("alice", **options):
                secrets.append(json.loads(kept(tmp_path)["token"])["data"])
        change(tmp_path, token=kept(tmp_path)["token"].replace(town.name("alice"), "mallory"))
        async with town.user("alice", **options):
            pass
        [path] = tmp_path.glob("*.json")
        path.write_bytes(path.read_bytes()[:-1])
        async with town.user("alice", **options):
            pass

    town.adapter.run(story)
    assert len(warnings_of(caplog)) == 2
    for secret in secrets:
        assert secret["token"] not in caplog.text
        assert secret["miUserSecurityKey"] not in caplog.text


def test_an_error_of_the_program_leaves_the_file_to_others(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(LocalProtocolError, match="proxy"):
            town.user("alice", resource=None, cache=tmp_path, proxy="nonsense")
        gc.collect()
        async with town.user("alice", resource=None, cache=tmp_path) as alice:
            assert kept(tmp_path)["resource"] == alice.session.resource

    town.adapter.run(story)


def test_a_user_that_is_never_entered_leaves_the_file_to_others(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        town.user("alice", resource=None, cache=tmp_path)
        gc.collect()
        async with town.user("alice", resource=None, cache=tmp_path) as alice:
            assert kept(tmp_path)["resource"] == alice.session.resource

    town.adapter.run(story)


def test_a_login_that_fails_or_is_aborted_leaves_the_file_to_others(town: Town, tmp_path: Path) -> None:
    async def story() -> None:
        options: dict[str, Any] = {"resource": None, "cache": tmp_path}
        with pytest.raises(KeyError):
            async with town.user("alice", **options) as alice:
                raise KeyError
        with pytest.raises(LoginTimeout):
            async with impatient(town.user("alice", addresses=[("127.0.0.1", 1)], **options)):
                pass
        async with town.user("alice", **options) as again:
            assert again.session.resource == alice.session.resource

    town.adapter.run(story)


# ------------------------------------------------------------------------------------------------- without any adapter


def cache(folder: Path, resource: str | None = None) -> IdentityCache:
    return IdentityCache(folder, APP_ID, "alice", resource)


ADDRESSES = (("127.0.0.1", 5222), ("::1", 5222))


def test_what_is_saved_is_there_the_next_time(tmp_path: Path) -> None:
    first = cache(tmp_path)
    assert (first.resource, first.token, first.addresses) == (None, None, ())
    first.save("pc", token_answer("alice"), ADDRESSES)
    first.close()
    first.close()
    first.save("phone", None, ())  # without effect: it is no more ours
    second = cache(tmp_path)
    assert (second.resource, second.token, second.addresses) == ("pc", token_answer("alice"), ADDRESSES)
    second.close()


@UNIX
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = cache(tmp_path / "made" / "too")
        first.save("pc", "{}", ())
        first.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made" / "too").stat().st_mode) == 0o700
    for path in (tmp_path / "made" / "too").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("where", ["os.replace", "json.dump"])
def test_a_crash_before_the_file_is_replaced_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    first = cache(tmp_path)
    first.save("pc", "{}", ())
    before = kept(tmp_path)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(where, crash)
        with pytest.raises(KeyboardInterrupt):
            first.save("phone", "{}", ())
    assert kept(tmp_path) == before
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock"]
    first.save("phone", "{}", ())
    assert kept(tmp_path)["resource"] == "phone"
    first.close()


def test_what_does_not_change_is_not_written(tmp_path: Path) -> None:
    first = cache(tmp_path)
    first.save("pc", "{}", ADDRESSES)
    [path] = tmp_path.glob("*.json")
    path.unlink()
    first.save("pc", "{}", ADDRESSES)
    assert not path.exists()
    first.close()


def test_a_disk_that_is_full_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = cache(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("json.dump", full)
    first.save("pc", "a secret", ())
    first.close()
    assert warnings_of(caplog) == ["an identity cannot be kept: [Errno 28] No space left on device"]
    assert list(tmp_path.glob("*.json")) == []


def test_a_file_that_cannot_be_opened_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = cache(tmp_path)
    first.close()
    [lock] = tmp_path.glob("*.lock")
    lock.with_suffix(".json").mkdir()
    cache(tmp_path).close()
    assert lock.with_suffix(".unreadable").is_dir()
    assert len(warnings_of(caplog)) == 1


def test_another_process_takes_another_resource(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = cache(tmp_path)
    first.save("pc", "{}", ())
    program = (
        "import logging, sys; from pathlib import Path; from mimc_transports._cache import IdentityCache\n"
        "logging.basicConfig()\n"
        f"held = IdentityCache(Path(sys.argv[1]), {APP_ID}, 'alice', None)\n"
        "print(held.resource); held.save('phone', None, ())"
    )

    def other() -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip(), done.stderr

    printed, told = other()
    assert printed == "None"
    assert "is in use" in told
    assert kept(tmp_path)["resource"] == "pc"
    first.close()
    assert other() == ("pc", "")
    assert kept(tmp_path)["resource"] == "phone"


def test_a_resource_that_is_given_and_in_use_is_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = cache(tmp_path, "pc"), cache(tmp_path, "pc")
    assert second.resource == "pc"
    [warning] = warnings_of(caplog)
    assert "'pc'" in warning
    assert "another resource" not in warning
    first.close()
    second.close()


def test_accounts_and_applications_have_files_of_their_own(tmp_path: Path) -> None:
    held = [
        IdentityCache(tmp_path, app_id, account, resource)
        for app_id in (1, 11)
        for account in ("a", "1a", "\ud800")
        for resource in (None, "pc")
    ]
    for number, one in enumerate(held):
        one.save(f"r{number}", None, ())
        one.close()
    assert len(list(tmp_path.glob("*.json"))) == len(held)


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, Path("/caches/mimc-proto")),
        ("linux", {"HOME": "/home/alice"}, Path("/home/alice/.cache/mimc-proto")),
        ("darwin", {"HOME": "/Users/alice"}, Path("/Users/alice/Library/Caches/mimc-proto")),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/mimc-proto")),
    ],
)
def test_the_folder_is_the_systems_own(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], folder: Path
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert default_folder() == folder


@pytest.mark.parametrize(
    ("answer", "text"),
    [("{}", "{}"), (b"{}", "{}"), ({"code": 200}, '{"code": 200}'), (b"\xff", None), ({"code": object()}, None)],
)
def test_token_answers_of_all_kinds_are_kept_as_text(answer: Any, text: str | None) -> None:
    assert token_text(answer) == text
