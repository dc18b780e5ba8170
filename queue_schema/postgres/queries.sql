-- The statements of a batch, each under the name that the code uses. `%(name)s` stands for a value. The fence of all of
-- them is `me`: no row of it, no change. The operators' lane has no session number, because several programs use it.

-- name: enter
UPDATE lane SET session = session + 1
WHERE node = %(node)s AND n = %(lane)s AND NOT fenced
RETURNING session;

-- All that waits, in one statement: messages to add, messages whose recipients all became final at the first attempt, and
-- marks. A message of which a recipient was final before, by an order or an earlier settlement, is not finished here.
--
-- The server begins and ends each part and each value of a statement anew, which is most of its work for a small batch. So
-- the parts that only a later offer needs are between `again:` and `:again`, and are cut from a first one. A plain batch is
-- a first offer with the usual values only of most columns (PLAIN in `lanes/rows.py`), which are then NULL in its text. It
-- has the parts between `plain:` and `:plain`, and all others have those between `mixed:` and `:mixed`. An id that is in
-- the queue already is an error of a plain batch, after which each operation is offered alone. ON CONFLICT would look for
-- each id twice, lock it, and write a further record of the log.
--
-- A part finds the rows that a part before it returned by arrays and subqueries, and no two parts are joined with each
-- other, because PostgreSQL expects one row of each and would read them in a loop within a loop; `IS TRUE` has it look up
-- each id by its hash. No array is joined with a table either: while the table is small, a plan that is made reads it
-- whole, and is still in use when it is large. Arrays that are read side by side in a select list are read without a copy
-- of each. An array with only the usual value of its column is NULL; beside the ids it then gives NULL for each, which
-- `coalesce` turns into that value. Of an id that an array has twice only the first place counts: the marks have the
-- newest token of each message, and an end behind that of a lost claim is left to a settlement by rows.
--
-- The statement must change the row of the lane even if there is nothing else to do: the answer to a second offer then
-- comes after a commit that is as durable as any. The last two columns of the result of a later offer are messages that an
-- earlier one ended, and messages that it added and that are still this node's. A mark locks the row of its message, so
-- that an order to remove it, which may run at the same time, comes before or after the mark.

-- name: batch
WITH me AS (
    SELECT node FROM lane
    WHERE node = %(node)s::bigint AND n = %(lane)s::int AND (session = %(session)s::bigint OR node = 0) AND NOT fenced
    FOR UPDATE
),
added AS (
    INSERT INTO message (id, created, size, chunks, sender_local, sender_domain, client, helo, protocol, body_type,
                         smtputf8, ret, envid, login, message_id, subject, author, tls, report_of, tls_demand, held,
                         token, due, held_since, node)
    SELECT u.id, u.created, u.size, coalesce(u.chunks, 0), u.sender_local, u.sender_domain, u.client, u.helo,
           u.protocol, coalesce(u.body_type, '7BIT'), coalesce(u.smtputf8, false), u.ret, u.envid,
           coalesce(u.login, ''), coalesce(u.message_id, ''), coalesce(u.subject, ''), coalesce(u.author, ''),
           coalesce(u.tls, ''), u.report_of, u.tls_demand, coalesce(u.held, false), coalesce(u.token, 1), u.due,
           CASE WHEN u.held THEN u.created END, CASE WHEN coalesce(u.token, 1) > 0 THEN %(node)s::bigint END
    FROM (
        SELECT unnest(%(id)s::bigint[]) AS id, unnest(%(created)s::float8[]) AS created,
               unnest(%(size)s::bigint[]) AS size, unnest(%(chunks)s::int[]) AS chunks,
               unnest(%(sender_local)s::text[]) AS sender_local, unnest(%(sender_domain)s::text[]) AS sender_domain,
               unnest(%(client)s::text[]) AS client, unnest(%(helo)s::text[]) AS helo,
               unnest(%(protocol)s::text[]) AS protocol, unnest(%(body_type)s::text[]) AS body_type,
               unnest(%(smtputf8)s::bool[]) AS smtputf8, unnest(%(ret)s::text[]) AS ret,
               unnest(%(envid)s::text[]) AS envid, unnest(%(login)s::text[]) AS login,
               unnest(%(message_id)s::text[]) AS message_id, unnest(%(subject)s::text[]) AS subject,
               unnest(%(author)s::text[]) AS author, unnest(%(tls)s::text[]) AS tls,
               unnest(%(report_of)s::bigint[]) AS report_of, unnest(%(tls_demand)s::text[]) AS tls_demand,
               unnest(%(held)s::bool[]) AS held, unnest(%(token)s::int[]) AS token, unnest(%(due)s::float8[]) AS due
    ) AS u
    WHERE (SELECT node FROM me) IS NOT NULL
          /* again: */ AND NOT EXISTS (SELECT FROM history WHERE history.id = u.id OFFSET 0) /* :again */
    /* mixed: */ ON CONFLICT (id) DO NOTHING /* :mixed */
    RETURNING id
),
addressed AS (
    INSERT INTO recipient (message_id, idx, local, domain, notify, original, due)
    SELECT u.id, coalesce(u.idx, 0), u.local, u.domain, u.notify, u.original, u.due
    FROM (
        SELECT unnest(%(recipient_of)s::bigint[]) AS id, unnest(%(idx)s::int[]) AS idx,
               unnest(%(local)s::text[]) AS local, unnest(%(domain)s::text[]) AS domain,
               unnest(%(notify)s::int[]) AS notify, unnest(%(original)s::text[]) AS original,
               unnest(%(recipient_due)s::float8[]) AS due
    ) AS u
    WHERE /* plain: */ (SELECT node FROM me) IS NOT NULL /* :plain */
          /* mixed: */ (u.id IN (SELECT id FROM added)) IS TRUE /* :mixed */
    RETURNING 1
),
filled AS (
    INSERT INTO body (message_id, data)
    SELECT u.* FROM (SELECT unnest(%(body_of)s::bigint[]) AS id, unnest(%(data)s::bytea[])) AS u
    WHERE /* plain: */ (SELECT node FROM me) IS NOT NULL /* :plain */
          /* mixed: */ (u.id IN (SELECT id FROM added)) IS TRUE /* :mixed */
),
ended AS (
    DELETE FROM message AS m
    WHERE m.id = ANY (%(ended)s::bigint[])
          AND m.token = coalesce((%(ended_token)s::int[])[array_position(%(ended)s::bigint[], m.id)], 1)
          AND m.node = (SELECT node FROM me) AND NOT m.altered
          AND NOT EXISTS (SELECT FROM recipient AS r WHERE r.message_id = m.id AND r.due IS NULL OFFSET 0)
    RETURNING m.*, array_position(%(ended)s::bigint[], m.id) AS place
),
finished AS (
    INSERT INTO history (id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8,
                         ret, envid, login, message_id, subject, author, tls, report_of, tls_demand, delay_reported,
                         node, token, finished, failed, recipients)
    SELECT id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8, ret, envid,
           login, message_id, subject, author, tls, report_of, tls_demand, delay_reported, node, token,
           (%(finished)s::float8[])[place], coalesce((%(failed)s::int[])[place] > 0, false),
           (%(recipients)s::text[])[place]::jsonb
    FROM ended
    RETURNING id
),
emptied AS (DELETE FROM recipient WHERE message_id = ANY (ARRAY(SELECT id FROM finished))),
dropped AS (DELETE FROM body WHERE message_id = ANY (ARRAY(SELECT id FROM finished))),
marked AS (
    SELECT m.id FROM message AS m
    WHERE m.id = ANY (%(marked)s::bigint[])
          AND m.token = coalesce((%(marked_token)s::int[])[array_position(%(marked)s::bigint[], m.id)], 1)
          AND m.node = (SELECT node FROM me)
    FOR KEY SHARE OF m
),
counted AS (
    UPDATE lane SET accepted = lane.accepted + cardinality(ARRAY(SELECT 1 FROM addressed)),
                    delivered = lane.delivered + e.delivered,
                    failed = lane.failed + e.failed,
                    removed = lane.removed + e.removed,
                    sending = coalesce(%(sending)s::text, sending)
    FROM (
        /* plain: */
        SELECT cardinality(ARRAY(SELECT id FROM finished)) AS delivered, 0 AS failed, 0 AS removed
        /* :plain */
        /* mixed: */
        SELECT coalesce(sum(coalesce((%(delivered)s::int[])[array_position(%(ended)s::bigint[], id)], 1)), 0) AS delivered,
               coalesce(sum((%(failed)s::int[])[array_position(%(ended)s::bigint[], id)]), 0) AS failed,
               coalesce(sum((%(removed)s::int[])[array_position(%(ended)s::bigint[], id)]), 0) AS removed
        FROM finished
        /* :mixed */
    ) AS e
    WHERE lane.node = (SELECT node FROM me) AND lane.n = %(lane)s::int
)
SELECT ARRAY(SELECT id FROM added),
       ARRAY(SELECT id FROM finished),
       ARRAY(SELECT id FROM marked)
       /* again: */
       , ARRAY(SELECT h.id FROM history AS h
               WHERE h.id = ANY (%(ended)s::bigint[]) AND h.node <> 0
                     AND h.token = coalesce((%(ended_token)s::int[])[array_position(%(ended)s::bigint[], h.id)], 1)),
       ARRAY(SELECT m.id FROM message AS m WHERE m.id = ANY (%(id)s::bigint[]) AND m.token = 1 AND m.node = me.node)
       /* :again */
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
    WHERE node = %(node)s AND n = %(lane)s AND session = %(session)s AND NOT fenced
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
