-- For an operator: since when a message is held or in delivery, and who signed the last copy for a recipient. An older
-- program leaves these columns as they are.

BEGIN;
ALTER TABLE message ADD COLUMN held_since REAL;
ALTER TABLE message ADD COLUMN leased_since REAL;
ALTER TABLE recipient ADD COLUMN signed_by TEXT;
PRAGMA user_version = 4;
COMMIT;
