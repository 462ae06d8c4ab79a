"""Who logs in: what a token answer says of a user."""

from __future__ import annotations

from ._checks import MAX_NAME, MAX_TOKEN, check_text, link_secret
from ._record import Record
from .packets import User

__all__ = ["Credentials"]


class Credentials(Record, secret=("token", "security_key")):
    """What a token answer says of a user (rest.md, Token): needed to BIND and to address messages.

    ``uuid`` is ``miUserId``, ``security_key`` the base64 text of ``miUserSecurityKey``, ``package`` is
    ``appPackage``, ``chid`` is ``miChid``.
    """

    __slots__ = ()
    app_id: int
    account: str
    uuid: int
    token: str
    security_key: str
    package: str
    chid: int = 9

    def checked_secret(self) -> bytes:
        """The constant part of the payload keys, if all the texts can be sent.

        Raises `LocalProtocolError` that names the field, `CryptoError` for the security key.
        """
        check_text(self.token, "Credentials.token", MAX_TOKEN, secret=True)
        check_text(self.account, "Credentials.account", MAX_NAME)
        check_text(self.package, "Credentials.package", MAX_NAME, empty=True)
        return link_secret(self.security_key)

    def same_user(self, other: Credentials) -> bool:
        """Whether messages made for one of them may be sent as the other: only token and keys differ."""
        return (self.app_id, self.account, self.uuid, self.package) == (
            other.app_id,
            other.account,
            other.uuid,
            other.package,
        )

    def user(self, resource: str) -> User:
        """The side of a message that this user is, on one resource."""
        return User(app_id=self.app_id, account=self.account, uuid=self.uuid, resource=resource)
