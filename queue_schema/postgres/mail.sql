-- The statements about a message's way from its claim to its settlement, each under the name that the code uses. `%(name)s`
-- stands for a value. They run in a transaction that has locked the lane of `%(node)s`, so that the node is not fenced.
--
-- Rows are found by arrays of ids and by subqueries where a join would do, because a plan that was made while a table was
-- empty may begin its join with that table and read it whole.

-- Claims the messages that are longest due, or some of those in `%(among)s`, at which a filter has looked. Messages that
-- another relay has locked are passed over: it claims or changes them. The claim ends with the message by which the octets
-- of its bodies exceed `%(octets)s`. The rows of `message` as the statement found them have the due times by which the
-- claims are ordered. If another relay lives but had a message for longer than its lease, the marks that it made of the
-- message become doubt.

-- name: claim
WITH longest_due AS MATERIALIZED (
    SELECT id, due, size, chunks FROM message
    WHERE %(among)s::bigint[] IS NULL AND NOT held AND due <= %(now)s AND due >= %(start)s
    ORDER BY due, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
named AS MATERIALIZED (
    SELECT id, due, size, chunks FROM message
    WHERE id = ANY (%(among)s::bigint[]) AND NOT held AND due <= %(now)s
    ORDER BY due, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
due AS (
    SELECT id, due, CASE chunks WHEN 0 THEN size ELSE 0 END AS small, CASE chunks WHEN 0 THEN 0 ELSE size END AS large
    FROM (SELECT * FROM longest_due UNION ALL SELECT * FROM named) AS locked
),
taken AS (
    SELECT id FROM (
        SELECT id, sum(small) OVER earlier - small AS small, sum(large) OVER earlier - large AS large
        FROM due WINDOW earlier AS (ORDER BY due, id ROWS UNBOUNDED PRECEDING)
    ) AS summed
    WHERE small < %(octets)s AND large < %(large_octets)s
),
claimed AS (
    UPDATE message
    SET node = %(node)s, token = token + 1, due = %(until)s, leased_since = %(now)s,
        doubt = CASE WHEN node IS NULL OR node = %(node)s THEN doubt ELSE coalesce((
            SELECT jsonb_build_object(message.id, coalesce(message.doubt::jsonb -> message.id::text, '[]')
                                                  || jsonb_agg(range))::text
            FROM lane, jsonb_array_elements(lane.sending::jsonb -> message.id::text) AS range
            WHERE lane.node = message.node
            HAVING count(*) > 0), doubt) END
    WHERE id = ANY (ARRAY(SELECT id FROM taken))
    RETURNING id, token, created, size, chunks, sender_local, sender_domain, client, helo, protocol, body_type,
              smtputf8, ret, envid, delay_reported, login, tls_demand, doubt
)
SELECT id, token, created, size, chunks, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8, ret,
       envid, delay_reported, (SELECT data FROM body WHERE message_id = claimed.id), login, tls_demand,
       doubt, (SELECT due FROM message AS found WHERE found.id = claimed.id)
FROM claimed;

-- name: recipients
SELECT message_id, idx, local, domain, notify, original, status, attempts, way
FROM recipient
WHERE message_id = ANY (%(ids)s::bigint[])
ORDER BY message_id, idx;

-- The domains are NULL if the next attempt for a recipient is to go another way.

-- name: due_messages
SELECT due, id, node IS NOT NULL, created, delay_reported OR sender_local IS NULL, (
    SELECT CASE count(r.way) WHEN 0 THEN json_agg(DISTINCT r.domain)::text END FROM recipient AS r
    WHERE r.message_id = m.id AND r.due IS NOT NULL)
FROM message AS m
WHERE NOT held AND due <= %(now)s AND due >= %(start)s
ORDER BY due, id
LIMIT %(limit)s;

-- As due_messages, for rules that ask for more than domains. A message with too many recipients comes with NULL for them.

-- name: due_envelopes
SELECT due, id, node IS NOT NULL, created, delay_reported OR sender_local IS NULL, (
    SELECT CASE count(r.way) WHEN 0 THEN json_agg(DISTINCT r.domain)::text END FROM recipient AS r
    WHERE r.message_id = m.id AND r.due IS NOT NULL),
    sender_local, sender_domain, client, helo, protocol, login, (
    SELECT CASE WHEN count(*) <= %(recipients)s
                THEN json_agg(json_build_array(r.local, r.domain) ORDER BY r.idx)::text END
    FROM (SELECT idx, local, domain FROM recipient
          WHERE message_id = m.id AND due IS NOT NULL ORDER BY idx LIMIT %(recipients)s + 1) AS r)
FROM message AS m
WHERE NOT held AND due <= %(now)s AND due >= %(start)s
ORDER BY due, id
LIMIT %(limit)s;

-- name: defer
WITH mine AS MATERIALIZED (
    SELECT id FROM message
    WHERE id = ANY (%(ids)s::bigint[]) AND NOT held AND node IS NULL AND due <= %(now)s
    FOR UPDATE SKIP LOCKED
)
UPDATE message
SET due = (%(dues)s::double precision[])[array_position(%(ids)s::bigint[], id)]
WHERE id = ANY (ARRAY(SELECT id FROM mine));

-- name: release
UPDATE message SET node = NULL, due = %(due)s
WHERE id = %(id)s AND token = %(token)s AND node = %(node)s
RETURNING id;

-- Whether a claim was given back by this statement or that of a settlement, and nobody has claimed the message since.

-- name: given_back
SELECT id FROM message WHERE id = %(id)s AND token = %(token)s AND node IS NULL;

-- name: release_deferred
WITH found AS MATERIALIZED (
    SELECT id FROM message
    WHERE NOT held AND due = %(due)s AND node IS NULL
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
released AS (
    UPDATE message SET due = %(now)s WHERE id = ANY (ARRAY(SELECT id FROM found)) RETURNING id
)
SELECT count(*) FROM released;

-- name: next_due
SELECT due FROM message WHERE NOT held AND due >= %(start)s ORDER BY due LIMIT 1;

-- Reads the table, which has no index by node, because it would have to be changed with each claim.

-- name: strays
SELECT id FROM message
WHERE node = %(node)s AND coalesce(leased_since, created) < %(before)s AND id <> ALL (%(kept)s::bigint[]);

-- name: release_strays
UPDATE message SET node = NULL, due = least(due, %(now)s)
WHERE id = ANY (%(ids)s::bigint[]) AND node = %(node)s AND coalesce(leased_since, created) < %(before)s;

-- Locks the message of a claim. A settlement that leaves recipients without a verdict begins with it, because the
-- statement `settle` reads these recipients as they were when it began, and not when it got the lock.

-- name: lock
SELECT id FROM message
WHERE id = %(id)s AND token = %(token)s AND node = %(node)s
FOR UPDATE;

-- Records verdicts, each for another recipient, and gives the claim back unless it is kept or no recipient waits. The
-- result is one row: the message if the claim held, the earliest due time of its waiting recipients, the number of
-- recipients that became final by result, and those with many attempts. The verdicts are a JSON object by recipient, in
-- which one of a thousand is found as fast as one of two; a join would compare each with each. A recipient that may have
-- a copy from a node that was taken over stays doubtful until an attempt got as far as its mark, which tells of it.

-- name: settle
WITH fenced AS MATERIALIZED (
    SELECT id FROM message
    WHERE id = %(id)s AND token = %(token)s AND node = %(node)s
    FOR UPDATE
),
told AS MATERIALIZED (SELECT %(verdicts)s::jsonb AS verdicts),
settled AS (
    UPDATE recipient AS r
    SET (status, attempts, due, reply, host, finished, signed_by, way, verdict) = (
        SELECT v.status, r.attempts + (v.status <> 'removed')::integer, v.due, v.reply, v.host,
               CASE WHEN v.due IS NULL THEN %(now)s::double precision END, v.signed_by,
               CASE WHEN r.way = v.way THEN NULL ELSE r.way END, %(token)s::integer
        FROM jsonb_to_record((SELECT verdicts FROM told) -> r.idx::text)
             AS v (status text, due double precision, reply text, host text, signed_by text, way text)
    )
    WHERE r.message_id = (SELECT id FROM fenced) AND r.idx = ANY (%(idx)s::integer[]) AND r.due IS NOT NULL
    RETURNING r.idx, r.status, r.attempts, r.due
),
kept AS (
    INSERT INTO attempt (message_id, idx, number, time, host, reply, status, tls, waited, transfer)
    SELECT %(id)s, s.idx, s.attempts, a.time, a.host, a.reply, a.status, a.tls, a.waited, a.transfer
    FROM settled AS s CROSS JOIN LATERAL jsonb_to_record((SELECT verdicts FROM told) -> s.idx::text -> 'made')
         AS a (time double precision, host text, reply text, status text, tls text, waited double precision,
               transfer double precision)
    WHERE a.time IS NOT NULL
),
waiting AS (
    SELECT min(due) AS due FROM (
        SELECT due FROM settled
        UNION ALL
        SELECT due FROM recipient
        WHERE message_id = %(id)s AND due IS NOT NULL AND idx <> ALL (%(idx)s::integer[])
    ) AS each
),
given AS (
    UPDATE message AS m
    SET node = CASE WHEN %(keep)s THEN m.node END,
        due = CASE WHEN %(keep)s THEN m.due ELSE greatest(waiting.due, %(not_before)s::double precision) END,
        delay_reported = m.delay_reported OR %(delay_reported)s,
        doubt = CASE WHEN m.doubt IS NOT NULL THEN (
            SELECT jsonb_build_object(m.id, jsonb_agg(jsonb_build_array(i, i)))::text
            FROM jsonb_array_elements(m.doubt::jsonb -> m.id::text) AS range,
                 generate_series((range ->> 0)::integer, (range ->> 1)::integer) AS i
            WHERE i <> ALL (%(told)s::integer[])
            HAVING count(*) > 0) END
    FROM waiting
    WHERE m.id = (SELECT id FROM fenced) AND waiting.due IS NOT NULL
)
SELECT (SELECT id FROM fenced), (SELECT due FROM waiting),
       count(*) FILTER (WHERE status = 'delivered'), count(*) FILTER (WHERE status = 'failed'),
       count(*) FILTER (WHERE status = 'removed'),
       array_agg(idx::integer) FILTER (WHERE attempts > %(many)s),
       array_agg(attempts::integer) FILTER (WHERE attempts > %(many)s)
FROM settled;

-- Of many attempts for a recipient, drops those in the middle.

-- name: drop_attempts
DELETE FROM attempt AS a
USING unnest(%(idx)s::integer[], %(attempts)s::integer[]) AS v (idx, attempts)
WHERE a.message_id = %(id)s AND a.idx = v.idx AND a.number > %(first)s AND a.number <= v.attempts - %(last)s;

-- Whether a settlement that is offered again was recorded: one of its verdicts came under its claim, or the claim ended
-- the message, or all its reports are there. A settlement with no verdict does no more than to give the claim back.

-- name: recorded
SELECT 1 WHERE EXISTS (
    SELECT FROM recipient AS r CROSS JOIN LATERAL jsonb_to_record(%(verdicts)s::jsonb -> r.idx::text)
         AS v (status text, due double precision, reply text, host text)
    WHERE r.message_id = %(id)s AND r.idx = ANY (%(idx)s::integer[]) AND r.verdict = %(token)s
          AND r.due IS NOT DISTINCT FROM v.due AND (r.status, r.reply, r.host) = (v.status, v.reply, v.host)
) OR EXISTS (
    SELECT FROM history WHERE id = %(id)s AND token = %(token)s AND node <> 0
) OR cardinality(%(idx)s::integer[]) = 0 AND EXISTS (
    SELECT FROM message WHERE id = %(id)s AND token = %(token)s AND node IS NULL
) OR cardinality(%(reports)s::bigint[]) > 0 AND NOT EXISTS (
    SELECT FROM unnest(%(reports)s::bigint[]) AS report (id)
    WHERE NOT EXISTS (SELECT FROM message WHERE message.id = report.id OFFSET 0)
          AND NOT EXISTS (SELECT FROM history WHERE history.id = report.id OFFSET 0)
);

-- The chunks of a body are stored before its message. An earlier attempt to store them may have left some.

-- name: drop_chunks
DELETE FROM chunk
WHERE message_id = %(id)s AND NOT EXISTS (SELECT FROM message WHERE message.id = %(id)s OFFSET 0);

-- name: add_chunk
INSERT INTO chunk (message_id, n, node, data)
SELECT %(id)s, %(n)s, %(node)s, %(data)s WHERE NOT EXISTS (SELECT FROM message WHERE message.id = %(id)s OFFSET 0);

-- name: chunks
SELECT data FROM chunk WHERE message_id = %(id)s AND n >= %(first)s AND n < %(end)s ORDER BY n;

-- Makes the space of dead rows usable again; the other statement also gives that at the end of a table back to the disk, for
-- which it keeps all others from the table for a moment.

-- name: reuse_space
VACUUM (TRUNCATE FALSE) message, recipient, body;

-- name: give_space_back
VACUUM message, recipient, body;
