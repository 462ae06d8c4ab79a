"""Who gets in and who has to leave: BIND, takeover, expiry, kicks (clients.md rules 4, 14, 20)."""

from __future__ import annotations

from collections.abc import Callable

from mimc_proto import ServerState
from mimc_proto.crypto import verify_bind_signature
from mimc_proto.events import BindRequested
from mimc_proto.packets import KickReason

from ..store import Claim, Member, StoreError, UnknownUser
from ..tokens import TokenClaims, TokenInvalid, TokenRefused
from .delivery import Delivery
from .events import EndReason, LoggedIn, LoggedOut, LoginRefused
from .hints import KickRequested, SessionEnded, TakenOver
from .links import Core, Key, Link, Session, TokenVerifier
from .requests import CheckToken, ClaimSession, Release
from .timers import Alarm

__all__ = ["Login"]

TRY_AGAIN = "try-again"
"""Any reason that no client knows: they all log in again after a while (wire.md section 3)."""

RELEASED_AT_ONCE = 100
"""Releases that a sweep tries again: while the store fails each is told of."""

_BINDING = (ServerState.BINDING, ServerState.REBINDING)


class Login:
    """The part of a service that begins and ends sessions."""

    def __init__(
        self,
        core: Core,
        delivery: Delivery,
        tokens: TokenVerifier,
        package_of: Callable[[int], str | None],
        left: Callable[[Session], None],
    ) -> None:
        self._core = core
        self._delivery = delivery
        self._tokens = tokens
        self._package_of = package_of
        self._left = left
        self._displaced: dict[Key, set[int]] = {}  # links that were displaced and live
        self._elsewhere: dict[Key, int] = {}  # epoch of the winner on another node, while there are such links
        self._unreleased: dict[Key, int] = {}  # epochs of sessions that ended, and the store could not take note

    # -------------------------------------------------------------------------------------------------------- BIND

    def requested(self, link: Link, request: BindRequested) -> None:
        """A BIND came. One is decided at a time; of those that come meanwhile the newest counts."""
        if link.claiming:
            link.next_bind = request
            return
        if link.connection.state not in _BINDING:  # what came behind it in the same read ended it
            return
        core = self._core
        try:
            claims, package = self._verify(link, request)
        except TokenRefused as error:
            self._refuse(link, error.reason, str(error))
            return
        key = (claims.uuid, request.resource)
        if link.displaced == key and (key in core.sessions or key in self._elsewhere):
            self._refuse(link, KickReason.SINGLE_RESOURCE, "another link has taken over this resource")
            return
        link.claiming = True
        if link.session is not None and link.session.key == key:
            core.ask(
                CheckToken(request_id=core.next_id(), uuid=claims.uuid, issued_ms=claims.issued_ms),
                lambda answer: self._checked(link, claims, package, key, answer),
            )
        else:
            core.ask(
                ClaimSession(
                    request_id=core.next_id(),
                    app_id=claims.app_id,
                    account=claims.account,
                    uuid=claims.uuid,
                    resource=request.resource,
                    node=core.node,
                    issued_ms=claims.issued_ms,
                ),
                lambda answer: self._claimed(link, claims, package, key, answer),
            )

    def _verify(self, link: Link, request: BindRequested) -> tuple[TokenClaims, str]:
        """What a good token says, and its application's package; all that can be checked without the store."""
        claims = self._tokens.verify(request.bind.token, self._core.wall_ms)
        package = self._package_of(claims.app_id)
        if package is None:
            raise TokenInvalid(f"no application {claims.app_id} is served here")
        if claims.uuid != request.uuid or not _signed(link, request, claims):
            raise TokenInvalid("the uuid or the signature is not that of the token")
        return claims, package

    def _checked(self, link: Link, claims: TokenClaims, package: str, key: Key, good: bool | StoreError) -> None:
        """A session that logged in once more on its link keeps its epoch, or what it has just sent would be refused."""
        session = link.session
        if not self._decided(link):
            return
        if self._core.failed("login", good):
            self._refuse(link, TRY_AGAIN, "the store failed")
        elif not good:
            self._refuse(link, KickReason.TOKEN_EXPIRED, "the token was revoked")
        else:
            assert session is not None  # whatever ended it meanwhile took the BIND with it
            self._accept(link, claims, package)
            self._begun(session, claims)

    def _claimed(
        self, link: Link, claims: TokenClaims, package: str, key: Key, answer: Claim | StoreError | None
    ) -> None:
        if isinstance(answer, Claim):
            self._displace(key, answer)
        if not self._decided(link):
            if isinstance(answer, Claim):
                self._release(key, answer.epoch, answer.previous_node)
        elif answer is None:
            self._refuse(link, KickReason.TOKEN_EXPIRED, "the token was revoked")
        elif isinstance(answer, UnknownUser):
            self._refuse(link, KickReason.INVALID_TOKEN, str(answer))
        elif isinstance(answer, StoreError):
            self._core.failed("login", answer)
            self._refuse(link, TRY_AGAIN, "the store failed")
        else:
            self._accept(link, claims, package)
            self._end(link, EndReason.REPLACED)
            self._begin(link, claims, package, key, answer)

    def _decided(self, link: Link) -> bool:
        """The store has answered: whether the BIND it was asked for is still the one that waits."""
        link.claiming = False
        newer, link.next_bind = link.next_bind, None
        if link.connection.state not in _BINDING:
            return False
        if newer is not None:
            self.requested(link, newer)
            return False
        return True

    def _accept(self, link: Link, claims: TokenClaims, package: str) -> None:
        core = self._core
        accepted = link.connection.accept_bind(
            app_id=claims.app_id,
            account=claims.account,
            uuid=claims.uuid,
            security_key=claims.security_key,
            package=package,
            now=core.now,
        )
        assert accepted  # it checks once more what was checked before the claim
        core.changed(link)

    def _refuse(self, link: Link, reason: str, description: str) -> None:
        """The link says no; it takes offline who was bound."""
        core = self._core
        link.connection.refuse_bind(reason, description, now=core.now)
        core.changed(link)
        core.events.append(LoginRefused(link_id=link.id, reason=str(reason), description=description, peer=link.peer))
        self._end(link, EndReason.REFUSED)

    # ---------------------------------------------------------------------------------------------------- sessions

    def _begin(self, link: Link, claims: TokenClaims, package: str, key: Key, claim: Claim) -> None:
        core = self._core
        self._forget_displaced(link)
        member = Member(uuid=claims.uuid, account=claims.account)
        session = Session(link, claims.app_id, member, key, package)
        session.pull = Alarm(lambda: self._delivery.pull_due(session))
        session.epoch, session.previous_node = claim.epoch, claim.previous_node
        session.acked = claim.position
        link.session = core.sessions[key] = session
        core.users[key[0]] = (*core.users.get(key[0], ()), session)
        core.unbound.pop(link.id, None)
        self._begun(session, claims)

    def _begun(self, session: Session, claims: TokenClaims) -> None:
        core, link = self._core, session.link
        session.issued_ms = claims.issued_ms
        core.timers.set(session.expiry, None)
        session.expiry = Alarm(lambda: self._expired(session, claims.expires_ms))
        core.timers.set(session.expiry, core.now + (claims.expires_ms - core.wall_ms) / 1000)
        core.events.append(
            LoggedIn(
                link_id=link.id,
                app_id=session.app_id,
                account=session.member.account,
                uuid=session.uuid,
                resource=session.resource,
                epoch=session.epoch,
                peer=link.peer,
            )
        )
        self._delivery.bound(session)

    def _expired(self, session: Session, expires_ms: int) -> None:
        core = self._core
        left = expires_ms - core.wall_ms
        if left > 0:  # the wall clock was set back
            core.timers.set(session.expiry, core.now + left / 1000)
        else:
            self.kick(session, KickReason.TOKEN_EXPIRED, "", EndReason.TOKEN_EXPIRED)

    def kick(self, session: Session, reason: str, description: str, end: EndReason) -> None:
        """Take a session offline; its link stays."""
        link = session.link
        link.connection.kick(reason, description, now=self._core.now)
        self._core.changed(link)
        self._end(link, end)

    def displaced(self, session: Session, elsewhere: int = 0) -> None:
        """Another link has taken over; ``elsewhere``: its epoch, if it is on another node."""
        key, link = session.key, session.link
        self.kick(session, KickReason.SINGLE_RESOURCE, "", EndReason.TAKEN_OVER)
        self._forget_displaced(link)
        link.displaced = key
        self._displaced.setdefault(key, set()).add(link.id)
        if elsewhere:
            self._elsewhere[key] = elsewhere

    def ended(self, link: Link, reason: EndReason) -> None:
        """The user logged out, or the link ended."""
        if reason is EndReason.LINK_ENDED:
            self._forget_displaced(link)
        self._end(link, reason)

    def _end(self, link: Link, reason: EndReason) -> None:
        core, session = self._core, link.session
        if session is None:
            return
        link.session = None
        core.unbound[link.id] = link
        del core.sessions[session.key]
        others = tuple(other for other in core.users[session.uuid] if other is not session)
        if others:
            core.users[session.uuid] = others
        else:
            del core.users[session.uuid]
        core.timers.set(session.expiry, None)
        core.timers.set(session.pull, None)
        self._left(session)
        if reason is not EndReason.TAKEN_OVER:
            self._release(session.key, session.epoch, session.previous_node)
        core.events.append(
            LoggedOut(
                link_id=link.id,
                account=session.member.account,
                uuid=session.uuid,
                resource=session.resource,
                reason=reason,
            )
        )

    def _release(self, key: Key, epoch: int, previous_node: str) -> None:
        core = self._core
        self._ask_release(key, epoch)
        if previous_node not in ("", core.node):
            core.tell(SessionEnded(node=previous_node, uuid=key[0], resource=key[1], epoch=epoch))

    def _ask_release(self, key: Key, epoch: int) -> None:
        core = self._core
        core.ask(
            Release(request_id=core.next_id(), uuid=key[0], resource=key[1], epoch=epoch),
            lambda answer: self._released(key, epoch, answer),
        )

    def _released(self, key: Key, epoch: int, answer: StoreError | None) -> None:
        if self._core.failed("release", answer):
            self._unreleased[key] = max(epoch, self._unreleased.get(key, 0))

    def retry(self) -> None:
        """The sweep: some of the releases that the store did not take may go again. One that is older than the session
        there is now releases nothing."""
        for key in list(self._unreleased)[:RELEASED_AT_ONCE]:
            self._ask_release(key, self._unreleased.pop(key))

    # ---------------------------------------------------------------------------------------------------- takeover

    def _displace(self, key: Key, claim: Claim) -> None:
        """Whoever held the resource has to go, whether the link that claimed it still lives or not: newest wins."""
        older = self._core.sessions.get(key)
        if older is not None:
            self.displaced(older)
        self._elsewhere.pop(key, None)  # it is here now
        if claim.previous_node not in ("", self._core.node):
            self._core.tell(TakenOver(node=claim.previous_node, uuid=key[0], resource=key[1], epoch=claim.epoch))

    def taken_over(self, hint: TakenOver) -> None:
        """Another node has it."""
        key = (hint.uuid, hint.resource)
        session = self._core.sessions.get(key)
        if session is not None and session.epoch < hint.epoch:
            self.displaced(session, hint.epoch)
        elif session is None and key in self._displaced:
            self._elsewhere[key] = max(hint.epoch, self._elsewhere.get(key, 0))

    def winner_gone(self, hint: SessionEnded) -> None:
        """Who was displaced may come back."""
        key = (hint.uuid, hint.resource)
        if self._elsewhere.get(key, hint.epoch + 1) <= hint.epoch:
            del self._elsewhere[key]

    def kick_user(self, hint: KickRequested) -> None:
        """Take the sessions of a user offline that are here."""
        for session in self._core.users.get(hint.uuid, ()):
            if hint.resource in (None, session.resource):
                self.kick(session, hint.reason, hint.description, EndReason.KICKED)

    def _forget_displaced(self, link: Link) -> None:
        key, link.displaced = link.displaced, None
        if key is not None:
            links = self._displaced[key]
            links.remove(link.id)
            if not links:
                del self._displaced[key]
                self._elsewhere.pop(key, None)


def _signed(link: Link, request: BindRequested, claims: TokenClaims) -> bool:
    """Checked before the claim, or who has only a token could throw its user out."""
    bind = request.bind
    return verify_bind_signature(
        bind.sig,
        token=bind.token,
        challenge=link.challenge,
        chid=request.chid,
        uuid=request.uuid,
        resource=request.resource,
        packet_id=request.id,
        security_key=claims.security_key,
        kick=bind.kick or "",
        method=bind.method or "",
        client_attrs=bind.client_attrs or "",
        cloud_attrs=bind.cloud_attrs or "",
    )
