"""Requests and answers. Ids are text in answers, because programs that read JSON round numbers of 64 bits."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..http.fields import Id, Name, Number, Text

__all__ = [
    "Account",
    "AccountDetails",
    "ApplicationInfo",
    "ApplicationSecrets",
    "BackupRequest",
    "BackupResult",
    "CheckResult",
    "GroupDetails",
    "GroupRow",
    "KickRequest",
    "KickResult",
    "NewApplication",
    "Page",
    "ServerFigures",
    "SessionRow",
    "UserRequest",
]

T = TypeVar("T")

IdText = Annotated[str, BeforeValidator(str)]
"""An id in an answer."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(BaseModel, Generic[T]):
    """A piece of a list. ``next``: the rest begins with this as ``after``; null if there is none."""

    items: list[T]
    next: IdText | None


class ApplicationInfo(BaseModel):
    """An application that is served."""

    app_id: IdText
    package: str


class NewApplication(_Request):
    """An application to serve; an id is made unless one is given."""

    package: Annotated[Name, Field(description="Its appPackage, such as com.example.chat.")]
    app_id: Id | None = None


class ApplicationSecrets(ApplicationInfo):
    """What its own server asks for tokens with; this is the only time that key and secret are told."""

    app_key: str
    app_secret: str


class Account(BaseModel):
    """A user; ``sessions`` counts where he is online."""

    account: str
    uuid: IdText
    sessions: int


class SessionRow(BaseModel):
    """A session; ``waiting`` counts the messages delivered to it that it has not acknowledged."""

    app_id: IdText
    account: str
    uuid: IdText
    resource: str
    peer: str
    link: int
    waiting: int


class GroupRow(BaseModel):
    """A group; ``size`` counts its members."""

    topic_id: IdText
    kind: str = Field(description="`normal` or `unlimited`.")
    name: str
    owner: str
    size: int


class AccountDetails(BaseModel):
    """All that is known of a user but his messages.

    ``received`` counts the messages that were ever put into his inbox; ``tokens_good_from``: tokens that were issued
    before this time (Unix milliseconds) are revoked, 0 if none are.
    """

    app_id: IdText
    account: str
    uuid: IdText
    received: int
    tokens_good_from: int
    sessions: list[SessionRow]
    groups: list[GroupRow]


class GroupDetails(GroupRow):
    """A group with some of its members, by their uuids."""

    app_id: IdText
    members: Page[Account]


class UserRequest(_Request):
    """A user of an application; without ``app_id`` of the only one that is served."""

    account: Name
    app_id: Id | None = None


class KickRequest(UserRequest):
    """Whom to take offline: one resource or all."""

    resource: Text | None = None
    reason: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class KickResult(BaseModel):
    """How many sessions were taken offline."""

    kicked: int


class BackupRequest(_Request):
    """Where to, as the server sees it: an absolute path."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]


class BackupResult(BaseModel):
    """The file that was made."""

    path: str
    bytes: int


class CheckResult(BaseModel):
    """What SQLite finds wrong with the database; nothing of a good one."""

    problems: list[str]


class ServerFigures(BaseModel):
    """How much is going on, and how much is kept; ``uptime`` in seconds."""

    version: str
    uptime: float
    links: int
    sessions: int
    users_online: int
    applications: int
    users: int
    groups: int
    messages: int
    bytes: int
    bytes_limit: int


Cursor = Number
"""Where a piece of a list begins: behind the item with this id."""
