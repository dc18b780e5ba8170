-- For an operator: since when a message is held or in delivery, and the DKIM signer of the last copy for a recipient.
-- They are NULL for what an older program has done.

BEGIN;
ALTER TABLE message ADD COLUMN held_since REAL;
ALTER TABLE message ADD COLUMN leased_since REAL;
ALTER TABLE recipient ADD COLUMN signed_by TEXT;
PRAGMA user_version = 4;
COMMIT;
