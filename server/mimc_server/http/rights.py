"""Who may do what with a group: the same for both kinds."""

from __future__ import annotations

from typing import ClassVar

from ..store import Group, Store
from .callers import Caller
from .envelope import AnswerCode, Failure

__all__ = ["GroupRights"]


class GroupRights:
    """Looks groups of one kind up for callers. Raises `Failure` for what is not theirs, and `StoreError`."""

    _unlimited: ClassVar[bool]
    _noun: ClassVar[str]
    """What the kind is called in answers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _group(self, caller: Caller, topic_id: int) -> Group:
        """One of the caller's application."""
        group = self._store.group(caller.app_id, topic_id, unlimited=self._unlimited)
        if group is None:
            raise Failure(AnswerCode.NOT_FOUND, f"there is no {self._noun} {topic_id}")
        return group

    def _joined(self, caller: Caller, topic_id: int) -> Group:
        """One that the caller is in."""
        group = self._group(caller, topic_id)
        if not self._store.is_member(topic_id, caller.member.uuid, unlimited=self._unlimited):
            raise Failure(AnswerCode.FORBIDDEN, f"the caller is not in {self._noun} {topic_id}")
        return group

    def _owned(self, caller: Caller, topic_id: int) -> Group:
        """One that the caller owns."""
        group = self._joined(caller, topic_id)
        if group.owner != caller.member:
            raise Failure(AnswerCode.FORBIDDEN, f"only the owner of {self._noun} {topic_id} may do that")
        return group
