-- The statements of an operator's orders, each under the name that the code uses. A transaction locks its messages first,
-- in the order of their ids, and waits for others that change them; so it misses no message that is being claimed.
-- The recipient of an order comes in lower case.

-- name: lock
SELECT coalesce(array_agg(id), '{}') FROM (
    SELECT id FROM message
    WHERE id = ANY (%(ids)s::bigint[]) AND held = coalesce(%(held)s::boolean, held) ORDER BY id FOR UPDATE) AS m;

-- Without a lock: the messages of an order that names none.

-- name: all_messages
SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM message WHERE held = coalesce(%(held)s::boolean, held);

-- name: all_for
SELECT coalesce(array_agg(DISTINCT message_id), '{}') FROM recipient
WHERE due IS NOT NULL
      AND lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C") = %(recipient)s;

-- name: waiting_for
SELECT coalesce(array_agg(DISTINCT message_id), '{}') FROM recipient
WHERE message_id = ANY (%(ids)s::bigint[]) AND due IS NOT NULL
      AND lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C") = %(recipient)s;

-- name: others_wait
SELECT message_id FROM recipient
WHERE message_id = ANY (%(ids)s::bigint[]) AND due IS NOT NULL
      AND lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C") <> %(recipient)s
ORDER BY message_id LIMIT 1;

-- name: retry
UPDATE message SET held = false, held_since = NULL,
                   due = CASE WHEN node IS NULL THEN least(due, %(now)s::double precision) ELSE due END
WHERE id = ANY (%(ids)s::bigint[]) AND (held OR node IS NULL AND due > %(now)s::double precision);

-- name: reroute
UPDATE recipient SET way = %(to)s::text
WHERE message_id = ANY (%(ids)s::bigint[]) AND due IS NOT NULL
      AND (%(recipient)s::text = ''
           OR lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C") = %(recipient)s::text);

-- name: try_now
UPDATE message SET due = %(now)s::double precision
WHERE id = ANY (%(ids)s::bigint[]) AND node IS NULL AND due > %(now)s::double precision;

-- name: hold
UPDATE message SET held = true, held_since = %(now)s::double precision WHERE id = ANY (%(ids)s::bigint[]) AND NOT held;

-- name: release
UPDATE message SET held = false, held_since = NULL WHERE id = ANY (%(ids)s::bigint[]) AND held;

-- name: remove
WITH removed AS (
    UPDATE recipient SET status = 'removed', due = NULL, finished = %(now)s::double precision
    WHERE message_id = ANY (%(ids)s::bigint[]) AND due IS NOT NULL
          AND (%(recipient)s::text = ''
               OR lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C")
                  = %(recipient)s::text)
    RETURNING 1
)
SELECT count(*) FROM removed;

-- A relay that has one of these messages in work must not end it by the verdicts alone that it has for its recipients. It
-- sees this column as it is once the transaction is over, unlike the rows of `recipient`.

-- name: alter
UPDATE message SET altered = true WHERE id = ANY (%(ids)s::bigint[]) AND NOT altered;

-- The hour is for offers that are made again: they find in the history what became of their messages. It is by the clock
-- of the database.

-- name: forget
WITH forgotten AS (
    DELETE FROM history WHERE id = ANY (ARRAY(
        SELECT id FROM history
        WHERE finished < least(%(before)s::double precision,
                               extract(epoch FROM statement_timestamp())::double precision - 3600.0)
        ORDER BY finished, id LIMIT %(limit)s::integer FOR UPDATE SKIP LOCKED))
    RETURNING 1
)
SELECT count(*) FROM forgotten;

-- name: returnable
SELECT m.id, m.token, m.created, m.size, m.chunks, m.sender_local, m.sender_domain, m.client, m.helo, m.protocol,
       m.body_type, m.smtputf8, m.ret, m.envid, m.delay_reported, (SELECT data FROM body WHERE message_id = m.id),
       m.login, m.tls_demand
FROM message AS m WHERE m.id = ANY (%(ids)s::bigint[]) ORDER BY m.id;

-- name: returnable_recipients
SELECT message_id, idx, local, domain, notify, original, status, attempts, way, reply, host,
       due IS NOT NULL
       AND (%(recipient)s::text = ''
            OR lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C") = %(recipient)s::text)
FROM recipient WHERE message_id = ANY (%(ids)s::bigint[]) ORDER BY message_id, idx;

-- name: chunk
SELECT data FROM chunk WHERE message_id = %(id)s AND n = %(n)s;

-- name: return_recipients
WITH returned AS (
    UPDATE recipient SET status = 'failed', due = NULL, finished = %(now)s::double precision,
                         reply = %(text)s::text || CASE reply WHEN '' THEN '' ELSE %(said)s::text || reply END
    WHERE message_id = ANY (%(ids)s::bigint[]) AND due IS NOT NULL
          AND (%(recipient)s::text = ''
               OR lower((local || CASE domain WHEN '' THEN '' ELSE '@' || domain END) COLLATE "C")
                  = %(recipient)s::text)
    RETURNING 1
)
SELECT count(*) FROM returned;
