-- An index of the failed recipients, so that a search for the last ones does not read the whole history.

BEGIN;
CREATE INDEX failed ON recipient (message_id) WHERE status = 'failed';
PRAGMA user_version = 8;
COMMIT;
