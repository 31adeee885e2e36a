-- SPDX-License-Identifier: MIT
-- Who may use the service: users, their sessions, API keys, failed logins. Times are milliseconds of the wall clock since 1970, 0: never.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('keys_version', 0);

-- AUTOINCREMENT: a number is never given to somebody else, so what names it (the audit log, budgets) keeps its meaning.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'user', 'admin')),
    password TEXT NOT NULL CHECK (length(password) BETWEEN 1 AND 127),
    created_ms INTEGER NOT NULL,
    login_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    address TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user, created_ms);

-- Patterns are separated by line feeds.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    prefix TEXT NOT NULL,
    name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 64),
    owner INTEGER REFERENCES users (id) ON DELETE SET NULL,
    admin INTEGER NOT NULL CHECK (admin IN (0, 1)),
    routes TEXT NOT NULL,
    models TEXT NOT NULL,
    requests_per_min INTEGER NOT NULL CHECK (requests_per_min BETWEEN 0 AND 4294967295),
    tokens_per_min INTEGER NOT NULL CHECK (tokens_per_min BETWEEN 0 AND 4294967295),
    concurrency INTEGER NOT NULL CHECK (concurrency BETWEEN 0 AND 4294967295),
    max_context INTEGER NOT NULL CHECK (max_context BETWEEN 0 AND 4294967295),
    expires_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL DEFAULT 0,
    revoked_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX api_keys_live_name ON api_keys (name) WHERE revoked_ms = 0;
CREATE INDEX api_keys_owner ON api_keys (owner);

-- Whoever changes a key, by whatever program, tells all processes that keep keys in memory.
CREATE TRIGGER api_keys_added AFTER INSERT ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_version';
END;
CREATE TRIGGER api_keys_removed AFTER DELETE ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_version';
END;
CREATE TRIGGER api_keys_changed AFTER UPDATE OF hash, name, owner, admin, routes, models, requests_per_min, tokens_per_min, concurrency,
    max_context, expires_ms, revoked_ms ON api_keys BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'keys_version';
END;
-- Nobody's keys stay valid.
CREATE TRIGGER users_removed BEFORE DELETE ON users BEGIN
    UPDATE api_keys SET revoked_ms = unixepoch() * 1000 WHERE owner = old.id AND revoked_ms = 0;
END;

-- who is a keyed hash of a user's name or an address: what people type by mistake into the field for the name is not kept.
CREATE TABLE login_failures (
    who BLOB NOT NULL PRIMARY KEY CHECK (length(who) = 32),
    n INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_last ON login_failures (last_ms);
