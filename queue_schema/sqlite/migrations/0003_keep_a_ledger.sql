-- Creates the ledger from the waiting recipients and the history. An older program would not update it and would send
-- without a mark, so it must not open the file.

BEGIN;

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    accepted INTEGER NOT NULL CHECK (accepted >= 0),
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    removed INTEGER NOT NULL CHECK (removed >= 0),
    sending TEXT NOT NULL
) STRICT;

INSERT INTO ledger (id, accepted, delivered, failed, removed, sending)
SELECT 1, count(*), coalesce(sum(status = 'delivered'), 0), coalesce(sum(status = 'failed'), 0),
       coalesce(sum(status = 'removed'), 0), '{}'
FROM recipient;

UPDATE meta SET value = 3 WHERE name = 'oldest_compatible';
PRAGMA user_version = 3;

COMMIT;
