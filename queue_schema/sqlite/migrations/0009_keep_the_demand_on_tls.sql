-- The demand of the sender on TLS (RFC 8689), which holds for each attempt: `required` or `optional`.

BEGIN;
ALTER TABLE message ADD COLUMN tls_demand TEXT;
PRAGMA user_version = 9;
COMMIT;
