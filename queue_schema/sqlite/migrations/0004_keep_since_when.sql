-- For operators: since when a message is held or in delivery, and the DKIM signer of the last copy for a recipient.
-- NULL means that an older program held, claimed or sent it.

BEGIN;
ALTER TABLE message ADD COLUMN held_since REAL;
ALTER TABLE message ADD COLUMN leased_since REAL;
ALTER TABLE recipient ADD COLUMN signed_by TEXT;
PRAGMA user_version = 4;
COMMIT;
