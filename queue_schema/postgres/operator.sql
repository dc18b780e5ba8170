-- The statements of an operator's questions, each under the name that the code uses. `%(name)s` stands for a value. Only
-- a search is put together from constant parts, by `mta/queue/postgres/operator/search.py`. Messages that wait are rows
-- of `message` and `recipient`, finished ones are rows of `history`, and a question to both is one statement for each.

-- name: waiting_entries
SELECT m.id, m.sender_local, m.sender_domain, m.size, m.created, m.client, m.held, m.node IS NOT NULL, m.due,
       m.held_since, m.leased_since, m.message_id, m.subject, m.author, m.login, m.tls, m.tls_demand, m.report_of,
       r.local, r.domain, r.status, r.attempts, r.reply, r.host, r.finished, r.signed_by, r.way
FROM message AS m JOIN recipient AS r ON r.message_id = m.id
WHERE m.id = ANY (%(ids)s::bigint[])
ORDER BY m.id, r.idx;

-- name: finished_entries
SELECT id, sender_local, sender_domain, size, created, client, false, false, NULL, NULL, NULL,
       message_id, subject, author, login, tls, tls_demand, report_of, recipients
FROM history
WHERE id = ANY (%(ids)s::bigint[])
ORDER BY id;

-- name: attempts
SELECT message_id, idx, time, host, reply, status, tls, waited, transfer FROM attempt
WHERE message_id = ANY (%(ids)s::bigint[])
ORDER BY message_id, idx, number;

-- name: reports
SELECT report_of, id FROM message WHERE report_of = ANY (%(ids)s::bigint[])
UNION ALL SELECT report_of, id FROM history WHERE report_of = ANY (%(ids)s::bigint[])
ORDER BY report_of, id;

-- name: domains
SELECT r.domain, count(*) FILTER (WHERE NOT m.held), count(*) FILTER (WHERE m.held), count(m.node), min(m.created),
       count(*) FILTER (WHERE age.seconds < %(first)s),
       count(*) FILTER (WHERE age.seconds >= %(first)s AND age.seconds < %(second)s),
       count(*) FILTER (WHERE age.seconds >= %(second)s AND age.seconds < %(third)s),
       count(*) FILTER (WHERE age.seconds >= %(third)s AND age.seconds < %(fourth)s),
       count(*) FILTER (WHERE age.seconds >= %(fourth)s)
FROM message AS m JOIN recipient AS r ON r.message_id = m.id
     CROSS JOIN LATERAL (SELECT %(now)s::double precision - m.created AS seconds) AS age
WHERE r.due IS NOT NULL
GROUP BY r.domain
ORDER BY count(*) DESC, r.domain COLLATE "C";

-- name: domain_replies
SELECT DISTINCT ON (domain) domain, reply, host
FROM recipient
WHERE due IS NOT NULL AND attempts > 0
ORDER BY domain, message_id DESC, idx DESC;

-- name: content
SELECT m.chunks, b.data FROM message AS m LEFT JOIN body AS b ON b.message_id = m.id WHERE m.id = %(id)s;

-- name: chunks
SELECT data FROM chunk WHERE message_id = %(id)s ORDER BY n;

-- name: load
SELECT count(*) FILTER (WHERE due <= %(now)s AND NOT held AND node IS NULL), coalesce(sum(size), 0)::bigint,
       min(due) FILTER (WHERE due <= %(now)s AND NOT held AND node IS NULL)
FROM message;

-- name: first_due
SELECT id, due FROM message WHERE NOT held ORDER BY due, node IS NOT NULL, id LIMIT 1;

-- A recipient waits although its message is finished or gone.

-- name: never_due
SELECT r.message_id FROM recipient AS r
WHERE r.due IS NOT NULL AND NOT EXISTS (SELECT FROM message AS m WHERE m.id = r.message_id)
LIMIT 1;

-- name: count_waiting
SELECT count(*) FROM recipient WHERE due IS NOT NULL;

-- name: count_messages
SELECT count(*), count(*) FILTER (WHERE held), count(node) FROM message;

-- The first message to come may be one that waits for its release, from which its age counts. Only the first thousand
-- are looked at, as in the other engine.

-- name: oldest
SELECT min(created) FROM (SELECT created FROM message ORDER BY id LIMIT 1000) AS first;

-- The messages that have a failed recipient although others wait, and have the null sender.

-- name: count_unreported_waiting
SELECT count(DISTINCT m.id) FROM recipient AS r JOIN message AS m ON m.id = r.message_id
WHERE r.status = 'failed' AND m.sender_local IS NULL;

-- name: count_finished
SELECT count(*), count(*) FILTER (WHERE failed), count(*) FILTER (WHERE failed AND sender_local IS NULL) FROM history;

-- The recipients of most finished messages were all delivered, so that their status need not be looked at one by one.

-- name: count_recipients
SELECT status, sum(number)::bigint FROM (
    SELECT status, count(*) AS number FROM recipient GROUP BY status
    UNION ALL
    SELECT 'delivered', sum(jsonb_array_length(recipients)) FROM history
    WHERE NOT failed AND NOT recipients @> '[{"status": "removed"}]'
    UNION ALL
    SELECT one ->> 'status', count(*) FROM history CROSS JOIN LATERAL jsonb_array_elements(recipients) AS one
    WHERE failed OR recipients @> '[{"status": "removed"}]'
    GROUP BY one ->> 'status'
) AS counted
GROUP BY status
HAVING sum(number) > 0;

-- name: ledger
SELECT sum(accepted)::bigint, sum(delivered)::bigint, sum(failed)::bigint, sum(removed)::bigint FROM lane;
