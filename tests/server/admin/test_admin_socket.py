"""The file of the admin socket: for its owner alone, and never taken from a server that lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from mimc_server import operating, sockets
from mimc_server.admin import CannotOpenSocket, bind_admin_socket, only_users, remove_socket
from mimc_server.http import HttpFrontend
from mimc_server.server import Server
from mimc_server.settings import Admin, Listen, Settings
from mimc_server.sockets import short_path
from support.wires import TIMEOUT

NOWHERE = Listen(tcp=(), websocket=(), http=())


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@pytest.fixture
def listening(path: Path) -> Iterator[socket.socket]:
    with bind_admin_socket(path) as sock:
        yield sock


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, short_path(path) as short:
        return client.connect_ex(short) == 0


def test_only_its_owner_can_use_the_file(path: Path, listening: socket.socket) -> None:
    mode = path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert not listening.get_inheritable()
    assert answers(path)


def test_nobody_can_connect_before_the_mode_is_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def chmod(self: Path, mode: int) -> None:
        seen.append((answers(self), mode))

    monkeypatch.setattr(Path, "chmod", chmod)
    bind_admin_socket(path).close()
    assert seen == [(False, 0o600)]


def test_a_folder_that_is_missing_is_made_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "data" / "admin.sock"
    bind_admin_socket(path).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_a_killed_server_left_is_replaced(path: Path) -> None:
    code = f"import os, signal; from mimc_server.admin import bind_admin_socket; from pathlib import Path\n\
left = bind_admin_socket(Path({os.fspath(path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert killed.returncode == -9
    assert path.exists()
    with bind_admin_socket(path):
        assert answers(path)


@pytest.mark.usefixtures("listening")
def test_a_server_that_lives_keeps_its_socket(path: Path) -> None:
    inode = path.lstat().st_ino
    with pytest.raises(CannotOpenSocket, match=r"another server answers at .*admin\.sock: stop it, or set admin\.so"):
        bind_admin_socket(path)
    assert path.lstat().st_ino == inode
    assert answers(path)


def test_a_server_that_is_too_busy_to_accept_lives(
    path: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PROBE", 0.01)
    listening.listen(0)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(os.fspath(path))
        with pytest.raises(CannotOpenSocket, match="another server answers"):
            bind_admin_socket(path)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_else_is_ever_replaced(path: Path, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_text("precious")
    before = path.lstat()
    with pytest.raises(CannotOpenSocket, match="expected nothing or an old socket at"):
        bind_admin_socket(path)
    assert path.lstat().st_ino == before.st_ino


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotOpenSocket, match=r"cannot open the admin socket .*\(admin\.socket\): "):
        bind_admin_socket(tmp_path / "file" / "admin.sock")


def test_a_long_path_is_reached_through_its_folder(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "admin.sock"
    with bind_admin_socket(path):
        assert path.exists()
        assert answers(path)
        with pytest.raises(CannotOpenSocket, match="another server answers"):
            bind_admin_socket(path)
    assert not answers(path)


def test_where_that_does_not_go_the_system_says_that_it_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "OPEN_FILES", tmp_path / "none")
    with pytest.raises(CannotOpenSocket, match="too long"):
        bind_admin_socket(tmp_path / ("long" * 30) / "admin.sock")


def test_only_the_own_file_is_removed(path: Path) -> None:
    first = bind_admin_socket(path)
    inode = path.lstat().st_ino
    first.close()
    path.rename(path.with_name("kept"))  # its inode must not be given again
    with bind_admin_socket(path):
        remove_socket(path, inode)
        assert answers(path)
        remove_socket(path, path.lstat().st_ino)
        assert not path.exists()
        remove_socket(path, inode)


# -------------------------------------------------------------------------------------------------------------- served


async def hello(scope: Any, _receive: Any, send: Any) -> None:
    """An application."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@contextlib.asynccontextmanager
async def saying_hello_to(path: Path, *uids: int) -> AsyncIterator[httpx2.AsyncClient]:
    frontend = HttpFrontend(hello, welcome=only_users(*uids))
    frontend.serve(bind_admin_socket(path))
    transport = httpx2.AsyncHTTPTransport(uds=os.fspath(path))
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            httpx2.AsyncClient(transport=transport, base_url="http://mimc", trust_env=False) as client,
        ):
            yield client
    finally:
        await frontend.close()


@pytest.mark.anyio
async def test_its_user_is_welcome(path: Path) -> None:
    async with saying_hello_to(path, os.geteuid()) as client:
        assert (await client.get("/")).text == "hello"


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="needs a system that tells who connects")
async def test_other_users_are_cut(path: Path) -> None:
    async with saying_hello_to(path, os.geteuid() + 1) as client:
        with pytest.raises(httpx2.TransportError):
            await client.get("/")


@pytest.mark.anyio
async def test_where_the_system_does_not_tell_the_mode_has_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    async with saying_hello_to(path, os.geteuid() + 1) as client:
        assert (await client.get("/")).text == "hello"


@pytest.mark.anyio
async def test_a_server_has_its_socket_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "data" / "admin.sock"
    async with asyncio.timeout(TIMEOUT):
        async with Server(Settings(data=path.parent, listen=NOWHERE)):
            assert answers(path)
            other = Settings(memory=True, listen=NOWHERE, admin=Admin(socket=path))
            with pytest.raises(CannotOpenSocket, match="another server answers"):
                async with Server(other):
                    pass
            assert answers(path)
        assert not path.exists()
        async with Server(Settings(data=path.parent, listen=NOWHERE, admin=Admin(socket=None))):
            assert not path.exists()


@pytest.mark.anyio
async def test_where_there_are_no_unix_sockets_a_server_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(operating, "socket", SimpleNamespace())  # asyncio itself needs the real one
    async with asyncio.timeout(TIMEOUT), Server(Settings(data=tmp_path, listen=NOWHERE)):
        assert not (tmp_path / "admin.sock").exists()
    assert [record.getMessage() for record in caplog.records] == ["no-admin-socket"]
