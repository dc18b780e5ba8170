-- The other way by which an operator wants the next attempt for a recipient made. An older program does not know it and
-- sends the mail its usual way.

BEGIN;
ALTER TABLE recipient ADD COLUMN way TEXT;
PRAGMA user_version = 7;
COMMIT;
