-- The user that had logged in, because the operator's rules may route a message by it at every attempt. An empty text
-- means that nobody had, or that an older program took the message.

BEGIN;
ALTER TABLE message ADD COLUMN login TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 5;
COMMIT;
