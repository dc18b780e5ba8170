-- For operators: the fields of a message by which they look for it, and the attempts that did not deliver at once. An
-- empty text means that the message has none, or that an older program took it.

BEGIN;
ALTER TABLE message ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN tls TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN report_of INTEGER;
CREATE INDEX report ON message (report_of) WHERE report_of IS NOT NULL;

CREATE TABLE attempt (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL CHECK (idx >= 0),
    number INTEGER NOT NULL CHECK (number > 0),
    time REAL NOT NULL,
    host TEXT NOT NULL,
    reply TEXT NOT NULL,
    status TEXT NOT NULL,
    tls TEXT NOT NULL,
    waited REAL NOT NULL,
    transfer REAL NOT NULL,
    PRIMARY KEY (message_id, idx, number)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 6;
COMMIT;
