-- The newest schema. The scripts in migrations/ upgrade an older file to it; a test compares the two results.

BEGIN;

-- "smtq": distinguishes a queue file from other SQLite files.
PRAGMA application_id = 0x736d7471;
PRAGMA user_version = 9;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,                               -- also `merging` or `merged` with the number of a worker
                                                         -- while its queue is merged into this one
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The oldest program version (its user_version) that can still work with this file.
INSERT INTO meta (name, value) VALUES ('oldest_compatible', 3);

CREATE TABLE message (
    id INTEGER PRIMARY KEY,                              -- the queue id as a number
    created REAL NOT NULL,                               -- all times are seconds since 1970
    size INTEGER NOT NULL CHECK (size >= 0),             -- octets of the body
    in_file INTEGER NOT NULL CHECK (in_file IN (0, 1)),  -- whether the body is bodies/ID instead of a row
    sender_local TEXT,                                   -- both NULL: the null path
    sender_domain TEXT,
    client TEXT NOT NULL,
    helo TEXT NOT NULL,
    protocol TEXT NOT NULL,
    body_type TEXT NOT NULL CHECK (body_type IN ('7BIT', '8BITMIME')),
    smtputf8 INTEGER NOT NULL CHECK (smtputf8 IN (0, 1)),
    ret TEXT CHECK (ret IN ('FULL', 'HDRS')),
    envid TEXT,
    delay_reported INTEGER NOT NULL DEFAULT 0 CHECK (delay_reported IN (0, 1)),
    held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    token INTEGER NOT NULL CHECK (token >= 0),           -- claims so far: the token of the running or last lease
    leased INTEGER NOT NULL CHECK (leased IN (0, 1)),    -- 1: there is a running lease, until `due`
    due REAL,                                            -- when it may be claimed next; NULL: all recipients are final
    finished REAL,                                       -- when its last recipient became final
    held_since REAL,                                     -- when the hold began; NULL: not held, or by an older program
    leased_since REAL,                                   -- when the last claim began; NULL: none since the add
    login TEXT NOT NULL DEFAULT '',                      -- the user that had logged in; '': none, or an older program
    message_id TEXT NOT NULL DEFAULT '',                 -- for operators, from the header: without its brackets,
    subject TEXT NOT NULL DEFAULT '',                    -- decoded and shortened; '': missing, or an older program
    author TEXT NOT NULL DEFAULT '',                     -- the From field
    tls TEXT NOT NULL DEFAULT '',                        -- protocol and cipher of the client's connection
    report_of INTEGER,                                   -- the message that this one reports on, which may be gone
    tls_demand TEXT,                                     -- `required` by REQUIRETLS, `optional` by TLS-Required: No
    CHECK ((sender_local IS NULL) = (sender_domain IS NULL)),
    CHECK ((due IS NULL) = (finished IS NOT NULL)),
    -- A lease has an end and a token; a finished message is neither leased nor held.
    CHECK (leased = 0 OR (due IS NOT NULL AND token > 0)),
    CHECK (held = 0 OR due IS NOT NULL)
) STRICT;

-- Has only waiting messages, so that the history does not slow down claim and add. With `leased`, a start finds the
-- leases of the earlier process without reading a message.
CREATE INDEX waiting ON message (held, due, leased) WHERE due IS NOT NULL;
CREATE INDEX waiting_in_file ON message (id) WHERE in_file = 1 AND due IS NOT NULL;
CREATE INDEX history ON message (finished) WHERE finished IS NOT NULL;
CREATE INDEX report ON message (report_of) WHERE report_of IS NOT NULL;

CREATE TABLE recipient (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL CHECK (idx >= 0),               -- the place in the envelope as it was added
    local TEXT NOT NULL,
    domain TEXT NOT NULL,
    notify INTEGER,                                      -- bits: 1 success, 2 failure, 4 delay; NULL: not asked
    original TEXT,
    -- Not `IN`: with more than two values SQLite builds a table of them at each insert and update (4 % of a message).
    status TEXT NOT NULL
        CHECK (status = 'waiting' OR status = 'delivered' OR status = 'failed' OR status = 'removed'),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due REAL,                                            -- when the last verdict asked for another attempt
    reply TEXT NOT NULL,
    host TEXT NOT NULL,
    finished REAL,
    signed_by TEXT,                                      -- DKIM: the domain and selectors, or why it was not signed
    way TEXT,                                            -- of the next attempt alone, if an operator wants another than
                                                         -- the usual one: `mx`, `smarthost` or `host:port`
    PRIMARY KEY (message_id, idx),
    CHECK ((status = 'waiting') = (due IS NOT NULL)),
    CHECK ((due IS NULL) = (finished IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Few recipients fail, and an operator asks for the last ones often.
CREATE INDEX failed ON recipient (message_id) WHERE status = 'failed';

-- The attempts for a recipient. One that delivered at once has no row here, because `recipient` tells it all.
CREATE TABLE attempt (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL CHECK (idx >= 0),
    number INTEGER NOT NULL CHECK (number > 0),          -- from 1; of many, those in the middle are dropped
    time REAL NOT NULL,                                  -- when it ended
    host TEXT NOT NULL,
    reply TEXT NOT NULL,
    status TEXT NOT NULL,
    tls TEXT NOT NULL,
    waited REAL NOT NULL,                                -- seconds for a connection, and for the transaction
    transfer REAL NOT NULL,
    PRIMARY KEY (message_id, idx, number)
) STRICT, WITHOUT ROWID;

-- Apart from `message`, so that a change of the state does not rewrite the body.
CREATE TABLE body (
    message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;

-- One row, changed at most once in a transaction: counts of the recipients that were added to this queue, and of those
-- that became final, by result. The others must be waiting, even if messages were dropped from the history.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    accepted INTEGER NOT NULL CHECK (accepted >= 0),
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    removed INTEGER NOT NULL CHECK (removed >= 0),
    sending TEXT NOT NULL                                -- the marks of copies in flight, as JSON: ranges of
                                                         -- recipients by message id
) STRICT;

INSERT INTO ledger (id, accepted, delivered, failed, removed, sending) VALUES (1, 0, 0, 0, 0, '{}');

COMMIT;
