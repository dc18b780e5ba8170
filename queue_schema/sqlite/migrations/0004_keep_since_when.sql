-- For an operator: since when a message is held or in delivery. An older program leaves both columns as they are.

BEGIN;
ALTER TABLE message ADD COLUMN held_since REAL;
ALTER TABLE message ADD COLUMN leased_since REAL;
PRAGMA user_version = 4;
COMMIT;
