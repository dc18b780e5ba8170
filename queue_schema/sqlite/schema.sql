-- The whole of the newest schema. Older files get here by the steps in migrations/; a test compares the two ways.

BEGIN;

-- "smtq": tells a queue file from any other SQLite file.
PRAGMA application_id = 0x736d7471;
PRAGMA user_version = 4;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,                               -- also `merging` or `merged` with a worker's number, while its
                                                         -- queue becomes part of this one
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
    token INTEGER NOT NULL CHECK (token >= 0),           -- claims so far: the running or last lease's token
    leased INTEGER NOT NULL CHECK (leased IN (0, 1)),    -- 1: someone works on it, until `due`
    due REAL,                                            -- when it may be claimed next; NULL when nothing waits
    finished REAL,                                       -- when its last recipient became final
    held_since REAL,                                     -- when the hold began; NULL: by an older program, or not held
    leased_since REAL,                                   -- when the last claim began; NULL: never claimed, or with add
    CHECK ((sender_local IS NULL) = (sender_domain IS NULL)),
    CHECK ((due IS NULL) = (finished IS NOT NULL)),
    -- A lease has an end and a token; what is finished is neither leased nor held.
    CHECK (leased = 0 OR (due IS NOT NULL AND token > 0)),
    CHECK (held = 0 OR due IS NOT NULL)
) STRICT;

-- Only what waits is in it, so that the history costs neither claim nor add anything. `leased` lets a start find the
-- leases of the process before it without reading a single message.
CREATE INDEX waiting ON message (held, due, leased) WHERE due IS NOT NULL;
CREATE INDEX waiting_in_file ON message (id) WHERE in_file = 1 AND due IS NOT NULL;
CREATE INDEX history ON message (finished) WHERE finished IS NOT NULL;

CREATE TABLE recipient (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL CHECK (idx >= 0),               -- the place in the envelope as it was added
    local TEXT NOT NULL,
    domain TEXT NOT NULL,
    notify INTEGER,                                      -- bits: 1 success, 2 failure, 4 delay; NULL: not asked
    original TEXT,
    -- Not `IN`: for more than two values SQLite makes a table of them at each insert and update (4 % of a message).
    status TEXT NOT NULL
        CHECK (status = 'waiting' OR status = 'delivered' OR status = 'failed' OR status = 'removed'),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due REAL,                                            -- when its last verdict asked for another attempt
    reply TEXT NOT NULL,
    host TEXT NOT NULL,
    finished REAL,
    signed_by TEXT,                                      -- DKIM: the domain and its selectors, or why none did
    PRIMARY KEY (message_id, idx),
    CHECK ((status = 'waiting') = (due IS NOT NULL)),
    CHECK ((due IS NULL) = (finished IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Apart from `message`, so that a change of state does not rewrite the body.
CREATE TABLE body (
    message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;

-- One row, changed once in each transaction: how many recipients this queue was given and how many of them left it, and
-- how. What is not counted as gone must wait, whatever the history has forgotten.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    accepted INTEGER NOT NULL CHECK (accepted >= 0),
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    removed INTEGER NOT NULL CHECK (removed >= 0),
    sending TEXT NOT NULL                                -- marks of what may be on its way, as JSON: recipients' ranges
                                                         -- by message id
) STRICT;

INSERT INTO ledger (id, accepted, delivered, failed, removed, sending) VALUES (1, 0, 0, 0, 0, '{}');

COMMIT;
