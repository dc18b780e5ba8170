-- `meta` may say that another worker's queue is being merged into this one. A program that does not know the mark would
-- remove bodies whose rows are still to come, so none older than this version may open the file.

BEGIN;
UPDATE meta SET value = 2 WHERE name = 'oldest_compatible';
PRAGMA user_version = 2;
COMMIT;
