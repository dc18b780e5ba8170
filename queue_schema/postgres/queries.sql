-- The statements of a batch, each under the name that the code uses. `%(name)s` stands for a value. The fence of all of
-- them is `me`: no row of it, no change. The operators' lane has no session number, because several programs use it.

-- name: enter
UPDATE lane SET session = session + 1
WHERE node = %(node)s AND n = %(lane)s AND NOT buried
RETURNING session;

-- All that waits, in one statement: messages to add, messages whose recipients all became final at the first attempt, and
-- marks. A message of which a recipient was final before, by an order or an earlier settlement, is not finished here. Each
-- part joins the rows that a part before it returned, and no two parts are joined with each other, because
-- PostgreSQL expects one row of each and would read them in a loop within a loop; `IS TRUE` has it look up each id by its
-- hash. The statement must change the row of the lane even if there is nothing else to do:
-- the answer to a second offer then comes after a commit that is as durable as any. The third column of the result is
-- messages that an earlier offer ended, and the last one messages that it added and that are still this node's. A mark locks
-- the row of its message, so that an order to remove it, which may run at the same time, comes before or after the mark.

-- name: batch
WITH me AS (
    SELECT node FROM lane
    WHERE node = %(node)s AND n = %(lane)s AND (session = %(session)s OR node = 0) AND NOT buried
    FOR UPDATE
),
added AS (
    INSERT INTO message (id, created, size, chunks, sender_local, sender_domain, client, helo, protocol, body_type,
                         smtputf8, ret, envid, login, message_id, subject, author, tls, report_of, tls_demand, held,
                         token, due, held_since, node)
    SELECT u.*, CASE WHEN u.held THEN u.created END, CASE WHEN u.token > 0 THEN me.node END
    FROM me, unnest(
        %(id)s::int8[], %(created)s::float8[], %(size)s::int8[], %(chunks)s::int[], %(sender_local)s::text[],
        %(sender_domain)s::text[], %(client)s::text[], %(helo)s::text[], %(protocol)s::text[], %(body_type)s::text[],
        %(smtputf8)s::bool[], %(ret)s::text[], %(envid)s::text[], %(login)s::text[], %(message_id)s::text[],
        %(subject)s::text[], %(author)s::text[], %(tls)s::text[], %(report_of)s::int8[], %(tls_demand)s::text[],
        %(held)s::bool[], %(token)s::int[], %(due)s::float8[]
    ) AS u (id, created, size, chunks, local, domain, client, helo, proto, type, utf8, ret, envid, login, msgid, subj,
            author, tls, report, demand, held, token, due)
    WHERE NOT %(again)s OR NOT EXISTS (SELECT FROM history WHERE history.id = u.id)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
),
addressed AS (
    INSERT INTO recipient (message_id, idx, local, domain, notify, original, due)
    SELECT u.*
    FROM unnest(
        %(recipient_of)s::int8[], %(idx)s::int[], %(local)s::text[], %(domain)s::text[], %(notify)s::int[],
        %(original)s::text[], %(recipient_due)s::float8[]
    ) AS u (id, idx, local, domain, notify, original, due)
    WHERE (u.id IN (SELECT id FROM added)) IS TRUE
    RETURNING 1
),
filled AS (
    INSERT INTO body (message_id, data)
    SELECT u.* FROM unnest(%(body_of)s::int8[], %(data)s::bytea[]) AS u (id, data)
    WHERE (u.id IN (SELECT id FROM added)) IS TRUE
),
ended AS (
    DELETE FROM message AS m
    USING me, unnest(
        %(ended)s::int8[], %(ended_token)s::int[], %(finished)s::float8[], %(delivered)s::int[], %(failed)s::int[],
        %(removed)s::int[], %(recipients)s::text[]
    ) AS v (id, token, finished, delivered, failed, removed, recipients)
    WHERE m.id = v.id AND m.token = v.token AND m.node = me.node AND NOT m.altered
          AND NOT EXISTS (SELECT FROM recipient AS r WHERE r.message_id = m.id AND r.due IS NULL OFFSET 0)
    RETURNING m.*, v.finished, v.delivered, v.failed, v.removed, v.recipients
),
emptied AS (DELETE FROM recipient USING ended WHERE recipient.message_id = ended.id),
dropped AS (DELETE FROM body USING ended WHERE body.message_id = ended.id),
kept AS (
    INSERT INTO history (id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8,
                         ret, envid, login, message_id, subject, author, tls, report_of, tls_demand, delay_reported,
                         node, token, finished, failed, recipients)
    SELECT id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8, ret, envid,
           login, message_id, subject, author, tls, report_of, tls_demand, delay_reported, node, token, finished,
           failed > 0, recipients::jsonb
    FROM ended
),
marked AS (
    SELECT m.id
    FROM me, unnest(%(marked)s::int8[], %(marked_token)s::int[]) AS k (id, token), message AS m
    WHERE m.id = k.id AND m.token = k.token AND m.node = me.node
    FOR KEY SHARE OF m
),
counted AS (
    UPDATE lane SET accepted = accepted + (SELECT count(*) FROM addressed),
                    delivered = lane.delivered + (SELECT coalesce(sum(ended.delivered), 0) FROM ended),
                    failed = lane.failed + (SELECT coalesce(sum(ended.failed), 0) FROM ended),
                    removed = lane.removed + (SELECT coalesce(sum(ended.removed), 0) FROM ended),
                    sending = coalesce(%(sending)s, sending)
    FROM me WHERE lane.node = me.node AND lane.n = %(lane)s
)
SELECT (SELECT array_agg(id) FROM added),
       (SELECT array_agg(id) FROM ended),
       (SELECT array_agg(h.id) FROM unnest(%(ended)s::int8[], %(ended_token)s::int[]) AS v (id, token)
        JOIN history AS h ON h.id = v.id AND h.token = v.token AND h.node <> 0 WHERE %(again)s),
       (SELECT array_agg(id) FROM marked),
       (SELECT array_agg(m.id) FROM unnest(%(id)s::int8[]) AS u (id)
        JOIN message AS m ON m.id = u.id AND m.token = 1 AND m.node = me.node WHERE %(again)s)
FROM me;

-- Finds messages that a second offer added although another relay finished them after the batch had begun.

-- name: finished
SELECT 1 FROM history WHERE id = ANY (%(ids)s::bigint[]) LIMIT 1;

-- The counts of the works that follow a batch in its transaction.

-- name: count
UPDATE lane SET accepted = accepted + %(accepted)s, delivered = delivered + %(delivered)s,
                failed = failed + %(failed)s, removed = removed + %(removed)s
WHERE node = %(node)s AND n = %(lane)s;

-- Takes messages out of the queue again, of which the client was told that they were not accepted.

-- name: withdraw
WITH me AS (
    SELECT node FROM lane
    WHERE node = %(node)s AND n = %(lane)s AND session = %(session)s AND NOT buried
    FOR UPDATE
),
gone AS (
    DELETE FROM message AS m USING me
    WHERE m.id = ANY (%(ids)s::bigint[]) AND (m.node = me.node AND m.token = 1 OR m.node IS NULL AND m.token = 0)
    RETURNING m.id
),
emptied AS (DELETE FROM recipient USING gone WHERE recipient.message_id = gone.id RETURNING 1),
dropped AS (DELETE FROM body USING gone WHERE body.message_id = gone.id),
unread AS (DELETE FROM chunk USING gone WHERE chunk.message_id = gone.id)
UPDATE lane SET accepted = accepted - (SELECT count(*) FROM emptied)
FROM me WHERE lane.node = me.node AND lane.n = %(lane)s
RETURNING lane.node;
