-- The move of finished messages to `history`, under the name that the code uses. `operator/orders.py` and the
-- settlements share it, so that a row of `history` looks the same whatever ended the message.

-- The conditions are subqueries with arrays where a join would do, because a plan that was made while a table was empty
-- may begin its join with that table and read it whole.

-- name: finish
WITH gone AS (
    DELETE FROM message AS m
    WHERE m.id = ANY (%(ids)s::bigint[])
          AND NOT EXISTS (SELECT FROM recipient AS r WHERE r.message_id = m.id AND r.due IS NOT NULL OFFSET 0)
    RETURNING m.*
), finished AS (
    INSERT INTO history (id, created, size, sender_local, sender_domain, client, helo, protocol, body_type, smtputf8,
                         ret, envid, login, message_id, subject, author, tls, report_of, tls_demand, delay_reported,
                         node, token, finished, failed, recipients)
    SELECT g.id, g.created, g.size, g.sender_local, g.sender_domain, g.client, g.helo, g.protocol, g.body_type,
           g.smtputf8, g.ret, g.envid, g.login, g.message_id, g.subject, g.author, g.tls, g.report_of,
           g.tls_demand, g.delay_reported, %(node)s::bigint, g.token, %(now)s::double precision, told.failed,
           told.recipients
    FROM gone AS g CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(r.status = 'failed'), false) AS failed,
               coalesce(json_strip_nulls(json_agg((
                   SELECT one FROM (
                       SELECT r.idx, r.local, r.domain, r.notify, r.original, r.status, r.attempts, r.reply, r.host,
                              r.finished, r.signed_by, r.verdict, (
                                  SELECT json_agg((
                                      SELECT each FROM (
                                          SELECT a.number, a.time, a.host, a.reply, a.status, a.tls, a.waited,
                                                 a.transfer) AS each
                                      ) ORDER BY a.number)
                                  FROM attempt AS a WHERE a.message_id = r.message_id AND a.idx = r.idx) AS made
                   ) AS one) ORDER BY r.idx)), '[]')::jsonb AS recipients
        FROM recipient AS r WHERE r.message_id = g.id
    ) AS told
), of_recipients AS (
    DELETE FROM recipient WHERE message_id = ANY (ARRAY(SELECT id FROM gone))
), of_attempts AS (
    DELETE FROM attempt WHERE message_id = ANY (ARRAY(SELECT id FROM gone))
), of_bodies AS (
    DELETE FROM body WHERE message_id = ANY (ARRAY(SELECT id FROM gone WHERE chunks = 0))
), of_chunks AS (
    DELETE FROM chunk WHERE message_id = ANY (ARRAY(SELECT id FROM gone WHERE chunks > 0))
)
SELECT id FROM gone ORDER BY id;
