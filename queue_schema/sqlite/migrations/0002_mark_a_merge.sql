-- `meta` may say that the queue of another worker is being merged into this one. An older program does not know that
-- mark and would remove bodies whose rows are not copied yet, so it must not open the file.

BEGIN;
UPDATE meta SET value = 2 WHERE name = 'oldest_compatible';
PRAGMA user_version = 2;
COMMIT;
