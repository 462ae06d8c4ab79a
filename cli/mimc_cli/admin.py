"""`mimc admin`: what whoever runs a server can ask of it (docs/how-to/operate.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ._extras import not_installed

if TYPE_CHECKING:
    from .administering.asking import Ask
    from .administering.errand import Errand
    from .administering.showing import Shown

__all__ = ["admin"]

BROKEN = 1
PLACE = click.Path(path_type=Path, readable=False)
"""Where the server is: who may not read it is told whom to be."""

PAGE = 500
"""Items of a list that are asked for at a time."""

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, Any]

APPLICATION = {"app_id": "APPLICATION", "package": "PACKAGE"}
ACCOUNT = {"account": "ACCOUNT", "uuid": "UUID", "sessions": "SESSIONS"}
SESSION = {
    "account": "ACCOUNT",
    "resource": "RESOURCE",
    "peer": "PEER",
    "link": "LINK",
    "waiting": "WAITING",
    "app_id": "APPLICATION",
}
GROUP = {"topic_id": "GROUP", "kind": "KIND", "size": "SIZE", "owner": "OWNER", "name": "NAME"}
DETAILS = {
    "topic_id": "group",
    "kind": "kind",
    "name": "name",
    "owner": "owner",
    "size": "members",
    "app_id": "application",
}
KEYS = {"app_id": "app id", "package": "package", "app_key": "app key", "app_secret": "app secret"}
FIGURES = {
    "version": "version",
    "uptime": "uptime, seconds",
    "links": "links",
    "sessions": "sessions",
    "users_online": "users online",
    "applications": "applications",
    "users": "users",
    "groups": "groups",
    "messages": "messages",
    "bytes": "bytes",
    "bytes_limit": "bytes, at most",
}


class _Command(NamedTuple):
    errand: Errand
    shown: Shown


@click.group()
@click.option(
    "--config", "file", type=PLACE, metavar="FILE", envvar="MIMC_CONFIG",
    help="The server's configuration; MIMC_CONFIG names one, too.",
)  # fmt: skip
@click.option("--data", type=PLACE, metavar="FOLDER", help="The server's folder.")
@click.option("--socket", type=PLACE, metavar="FILE", help="Its admin socket, if that is all.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs: of a list one object a line.")
@click.pass_context
def admin(context: click.Context, file: Path | None, data: Path | None, socket: Path | None, as_json: bool) -> None:
    """Look after a server that runs on this machine, as the user who runs it.

    \b
        mimc admin --data FOLDER applications add com.example.chat
        mimc admin --data FOLDER --json sessions list | jq .account
        MIMC_DATA=FOLDER mimc admin statistics

    The server is found by its folder (--data), its configuration (--config) or the environment variables of mimc serve.
    If none runs there, commands that need no more than its database use that.

    Exit status: 0, or 1 if it could not be done, or 2 for wrong usage or settings.
    """
    try:
        from .administering.errand import Errand
        from .administering.showing import Shown
    except ModuleNotFoundError as error:
        not_installed(error)
    context.obj = _Command(Errand(file, data, socket), Shown(as_json))


def _app(command: F) -> F:
    return click.option("--app", "app_id", type=int, metavar="ID", help="The application, if there are several.")(
        command
    )


def _paged(command: F) -> F:
    after = click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Begin behind this one.")
    limit = click.option("--limit", type=click.IntRange(1), metavar="N", help="Show so many at most.  [default: all]")
    return after(limit(command))


def _pages(ask: Ask, path: str, limit: int | None, **params: Any) -> Iterator[list[Row]]:
    """The pieces of a list, each asked for when the one before is shown."""
    left = limit
    while True:
        most = PAGE if left is None else min(left, PAGE)
        page = ask("GET", path, params={**params, "most": most})
        yield page["items"]
        params["after"] = page["next"]
        if left is not None:
            left -= len(page["items"])
        if page["next"] is None or left == 0:
            return


def _sure(question: str, yes: bool) -> None:
    """Ends the command if the person at the terminal is not."""
    if not yes:
        click.confirm(question, abort=True, err=True)


_yes = click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")


# --------------------------------------------------------------------------------------------------------- applications


@admin.group()
def applications() -> None:
    """Applications: whose users log in here."""


@applications.command("list")
@click.pass_obj
def list_applications(command: _Command) -> None:
    """Those that are served."""
    with command.errand.run() as ask:
        command.shown.rows([ask("GET", "/v1/applications")], APPLICATION)


@applications.command("add")
@click.argument("package")
@click.option("--id", "app_id", type=int, metavar="ID", help="Its id.  [default: a new one]")
@click.pass_obj
def add_application(command: _Command, package: str, app_id: int | None) -> None:
    """Serve another application from now on; PACKAGE is its appPackage, such as com.example.chat.

    Its key and secret are shown once and never again: its own server asks for tokens with them.
    """
    with command.errand.run(creates=True) as ask:
        command.shown.fields(ask("POST", "/v1/applications", body={"package": package, "app_id": app_id}), KEYS)


@applications.command("rotate")
@click.argument("app_id", type=int)
@_yes
@click.pass_obj
def rotate_application(command: _Command, app_id: int, yes: bool) -> None:
    """Give an application a new key and secret, shown once; the old ones are good no more, its users' tokens are."""
    with command.errand.run() as ask:
        _sure(f"The application's server gets no tokens with its old key and secret. Rotate those of {app_id}?", yes)
        command.shown.fields(ask("POST", f"/v1/applications/{app_id}/rotate"), KEYS)


@applications.command("remove")
@click.argument("app_id", type=int)
@_yes
@click.pass_obj
def remove_application(command: _Command, app_id: int, yes: bool) -> None:
    """Serve an application no more; its users are kicked.

    Users, groups and messages are kept, and there again once an application with this id is added.
    """
    with command.errand.run() as ask:
        _sure(f"Nobody of application {app_id} can log in any more. Remove it?", yes)
        ask("DELETE", f"/v1/applications/{app_id}")
        command.shown.said({"removed": str(app_id)}, f"application {app_id} is served no more")


# ------------------------------------------------------------------------------------------------------------- accounts


@admin.group()
def accounts() -> None:
    """Accounts: the users of an application."""


@accounts.command("list")
@_paged
@_app
@click.pass_obj
def list_accounts(command: _Command, app_id: int | None, limit: int | None, after: int) -> None:
    """All of them, by their uuids; --after is a uuid."""
    with command.errand.run() as ask:
        command.shown.rows(_pages(ask, "/v1/accounts", limit, app_id=app_id, after=after), ACCOUNT)


@accounts.command("show")
@click.argument("account")
@_app
@click.pass_obj
def show_account(command: _Command, account: str, app_id: int | None) -> None:
    """One: where it is online, and the groups it is in."""
    with command.errand.run() as ask:
        found = ask("GET", "/v1/account", params={"account": account, "app_id": app_id})
        names = {"account": "account", "uuid": "uuid", "app_id": "application", "received": "messages received"}
        names["tokens_good_from"] = "tokens good from (ms)"
        command.shown.fields(found, names)
        command.shown.more([found["sessions"]], SESSION)
        command.shown.more([found["groups"]], GROUP)


# ------------------------------------------------------------------------------------------------- sessions and tokens


@admin.group()
def sessions() -> None:
    """Sessions: who is online."""


@sessions.command("list")
@click.option("--account", metavar="NAME", help="Those of this account.")
@_paged
@_app
@click.pass_obj
def list_sessions(command: _Command, account: str | None, app_id: int | None, limit: int | None, after: int) -> None:
    """Who is online, where from, and how many messages wait for an acknowledgement; --after is a link."""
    with command.errand.run(online=True) as ask:
        pages = _pages(ask, "/v1/sessions", limit, app_id=app_id, account=account, after=after)
        command.shown.rows(pages, SESSION)


@admin.command()
@click.argument("account")
@click.option("--resource", metavar="NAME", help="Only the session with this resource.")
@click.option("--reason", metavar="WORD", help="What the client is told; single-resource-kick keeps it away.")
@_app
@click.pass_obj
def kick(command: _Command, account: str, resource: str | None, reason: str | None, app_id: int | None) -> None:
    """Take an account offline. Clients log in again soon: revoke its tokens to have it fetch new ones first."""
    with command.errand.run(online=True) as ask:
        body = {"account": account, "app_id": app_id, "resource": resource, "reason": reason}
        answer = ask("POST", "/v1/kick", body=body)
        command.shown.said(answer, f"sessions that were kicked: {answer['kicked']}")


@admin.group()
def tokens() -> None:
    """Tokens: what users log in with."""


@tokens.command("issue")
@click.argument("account")
@_app
@click.pass_obj
def issue_token(command: _Command, account: str, app_id: int | None) -> None:
    """Print a token answer, as the token endpoint gives it. Whoever has it is this user until it expires."""
    with command.errand.run() as ask:
        command.shown.document(ask("POST", "/v1/tokens/issue", body={"account": account, "app_id": app_id}))


@tokens.command("revoke")
@click.argument("account")
@_app
@click.pass_obj
def revoke_tokens(command: _Command, account: str, app_id: int | None) -> None:
    """No token of an account so far is good any more; who is online with one is kicked."""
    with command.errand.run() as ask:
        answer = ask("POST", "/v1/tokens/revoke", body={"account": account, "app_id": app_id})
        command.shown.said(answer, f"tokens are revoked; sessions that were kicked: {answer['kicked']}")


# --------------------------------------------------------------------------------------------------------------- groups


@admin.group()
def groups() -> None:
    """Groups, normal and unlimited."""


@groups.command("list")
@_paged
@_app
@click.pass_obj
def list_groups(command: _Command, app_id: int | None, limit: int | None, after: int) -> None:
    """All groups of an application, by their ids; --after is an id."""
    with command.errand.run() as ask:
        command.shown.rows(_pages(ask, "/v1/groups", limit, app_id=app_id, after=after), GROUP)


@groups.command("show")
@click.argument("group", type=click.IntRange(1))
@_paged
@_app
@click.pass_obj
def show_group(command: _Command, group: int, app_id: int | None, limit: int | None, after: int) -> None:
    """One, and its members by their uuids; --after is a uuid."""
    with command.errand.run() as ask:
        path = f"/v1/groups/{group}"
        found = ask("GET", path, params={"app_id": app_id, "most": 1})

        def members(method: str, path: str, **options: Any) -> Any:
            return ask(method, path, **options)["members"]

        pages = _pages(members, path, limit, app_id=app_id, after=after)
        if command.shown.as_json:
            found["members"] = [member for page in pages for member in page]
        command.shown.fields(found, DETAILS)
        command.shown.more(pages, ACCOUNT)


@groups.command("dismiss")
@click.argument("group", type=click.IntRange(1))
@_yes
@_app
@click.pass_obj
def dismiss_group(command: _Command, group: int, yes: bool, app_id: int | None) -> None:
    """Dissolve a group, as its owner could; its history goes with it."""
    with command.errand.run() as ask:
        _sure(f"Group {group} and its history will be gone. Dismiss it?", yes)
        ask("DELETE", f"/v1/groups/{group}", params={"app_id": app_id})
        command.shown.said({"dismissed": str(group)}, f"group {group} is dismissed")


# ------------------------------------------------------------------------------------------------------------ the whole


@admin.command()
@click.pass_obj
def statistics(command: _Command) -> None:
    """How much is going on, and how much is kept."""
    with command.errand.run() as ask:
        command.shown.fields(ask("GET", "/v1/statistics"), FIGURES)


@admin.command()
@click.pass_obj
def metrics(command: _Command) -> None:
    """All figures of a server that runs, as Prometheus reads them."""
    with command.errand.run(online=True) as ask:
        command.shown.text(ask("GET", "/metrics", text=True))


@admin.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False))
@click.pass_obj
def backup(command: _Command, file: Path) -> None:
    """Copy the database to FILE as it is now, while the server serves; what was there is replaced when it is whole.

    The server writes it, for its user alone. To restore, stop the server and put the copy in place of the database.
    """
    with command.errand.run() as ask:
        answer = ask("POST", "/v1/backup", body={"path": str(file.absolute())})
        command.shown.said(answer, f"{answer['bytes']} bytes are in {answer['path']}")


@admin.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Look whether the database is whole, while the server serves; reads all of it.

    Exit status: 1 if something is wrong; then restore the newest backup.
    """
    command: _Command = context.obj
    with command.errand.run() as ask:
        answer = ask("POST", "/v1/check")
        problems = answer["problems"]
        command.shown.said(answer, "\n".join(problems) if problems else "the database is whole")
    if problems:
        context.exit(BROKEN)
