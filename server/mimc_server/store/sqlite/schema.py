"""The tables, and how a database of an older version becomes one of this."""

from __future__ import annotations

import sqlite3

from ..contract import StoreError

__all__ = ["APPLICATION_ID", "migrate"]

APPLICATION_ID = 0x4D494D43
"""``MIMC``: what SQLite keeps in the head of our files, and in those of nobody else."""

_V1 = """
CREATE TABLE application (
    app_id INTEGER PRIMARY KEY, package TEXT NOT NULL, key_digest BLOB NOT NULL, secret_digest BLOB NOT NULL);
CREATE TABLE sequence (app_id INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- gone: all positions up to it are removed. floor: at least that of cursors that are not here any more
CREATE TABLE user (
    uuid INTEGER PRIMARY KEY, app_id INTEGER NOT NULL, account TEXT NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0, good_from INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0, gone_sequence INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX user_account ON user (app_id, account);
CREATE TABLE block (uuid INTEGER NOT NULL, blocked INTEGER NOT NULL, PRIMARY KEY (uuid, blocked)) WITHOUT ROWID;
CREATE TABLE cursor (
    uuid INTEGER NOT NULL, resource TEXT NOT NULL, sequence INTEGER NOT NULL, position INTEGER NOT NULL,
    epoch INTEGER NOT NULL, node TEXT NOT NULL, claimed INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (uuid, resource)) WITHOUT ROWID;
CREATE INDEX cursor_idle ON cursor (last_seen) WHERE claimed = 0;
CREATE INDEX cursor_held ON cursor (node) WHERE claimed = 1;

-- joined: the order in which users became members, of all groups
CREATE TABLE topic (
    topic_id INTEGER PRIMARY KEY, app_id INTEGER NOT NULL, unlimited INTEGER NOT NULL, owner INTEGER NOT NULL,
    name TEXT NOT NULL, bulletin TEXT NOT NULL DEFAULT '', extra TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL DEFAULT 0);
CREATE TABLE member (
    topic_id INTEGER NOT NULL, uuid INTEGER NOT NULL, joined INTEGER NOT NULL,
    PRIMARY KEY (topic_id, uuid)) WITHOUT ROWID;
CREATE INDEX member_order ON member (topic_id, joined);
CREATE INDEX member_user ON member (uuid, joined);
CREATE TABLE topic_block (topic_id INTEGER NOT NULL, uuid INTEGER NOT NULL, PRIMARY KEY (topic_id, uuid)) WITHOUT ROWID;

-- one, other: the uuids of a pair, the lower first, or the id of a group and 0. last_index: at least that of messages
-- that are not here any more
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY, app_id INTEGER NOT NULL, kind INTEGER NOT NULL, one INTEGER NOT NULL,
    other INTEGER NOT NULL, last_index INTEGER NOT NULL);
CREATE UNIQUE INDEX conversation_parties ON conversation (one, other, kind);

-- ids rise as messages come. kept: a part of the history. unread: places of one that is not to be stored
CREATE TABLE message (
    id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, sequence INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    conv_index INTEGER NOT NULL, sender INTEGER NOT NULL, resource TEXT NOT NULL, packet_id TEXT NOT NULL,
    payload BLOB NOT NULL, biz_type TEXT, kept INTEGER NOT NULL, unread INTEGER NOT NULL);
CREATE INDEX message_history ON message (conversation, sequence);

-- a place without a message is one from which it was removed
CREATE TABLE inbox (
    receiver INTEGER NOT NULL, position INTEGER NOT NULL, sequence INTEGER NOT NULL, message INTEGER,
    fleeting INTEGER NOT NULL, PRIMARY KEY (receiver, position)) WITHOUT ROWID;
CREATE INDEX inbox_message ON inbox (message) WHERE message IS NOT NULL;
CREATE INDEX inbox_fleeting ON inbox (receiver, position) WHERE fleeting = 1;

-- what was stored lately, for messages that come again
CREATE TABLE repeat (
    id INTEGER PRIMARY KEY, app_id INTEGER NOT NULL, digest BLOB NOT NULL, sequence INTEGER NOT NULL,
    timestamp INTEGER NOT NULL, conv_index INTEGER NOT NULL);
"""

MIGRATIONS = (_V1,)
"""Each makes the next version of the one before; a database knows how many of them it has seen."""


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables what this program needs. Raises `StoreError` for a file that is not ours, or newer."""
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreError("expected a database of this service, got another one: name another file")
    if version > len(MIGRATIONS):
        problem = f"the database is of version {version}, this program knows {len(MIGRATIONS)}: use a newer one"
        raise StoreError(problem)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[version:]:
            for statement in _statements(migration):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Of a script without semicolons in comments: one after the other they can be undone together."""
    return [statement for statement in map(str.strip, script.split(";")) if statement]
