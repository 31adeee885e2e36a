-- SPDX-License-Identifier: MIT
-- The audit log: rows chained by their hashes, and where the chain begins and ends.

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    wall_ms INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    address TEXT NOT NULL,
    request TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    model TEXT NOT NULL,
    detail TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prev BLOB NOT NULL CHECK (length(prev) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- One row. first_prev is what the oldest row that is kept has as prev; mac seals it all with the folder's secret.
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER NOT NULL,
    first_prev BLOB NOT NULL CHECK (length(first_prev) = 32),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
