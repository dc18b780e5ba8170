-- The relays that share the queue, and the mail of a time, for operators and their programs. Statements that read.

-- A relay whose lease is over stays in the list until another one takes it over.

-- name: nodes
SELECT node.id, node.name, node.program, extract(epoch FROM node.started)::double precision,
       extract(epoch FROM clock_timestamp() - node.started)::double precision,
       extract(epoch FROM node.alive_until - clock_timestamp())::double precision,
       (SELECT count(*) FROM message WHERE message.node = node.id)
FROM node WHERE NOT node.fenced ORDER BY node.started, node.id;

-- Recipients that failed, of messages in the history and of messages that wait for others.

-- name: failures
SELECT h.id, h.created, h.sender_local, h.sender_domain, r.local, r.domain, r.host, r.reply, r.finished
FROM history AS h CROSS JOIN LATERAL
     jsonb_to_recordset(h.recipients)
     AS r (local text, domain text, status text, host text, reply text, finished double precision)
WHERE h.failed AND h.finished >= %(since)s AND r.status = 'failed'
      AND r.finished >= %(since)s AND r.finished < %(until)s
UNION ALL
SELECT m.id, m.created, m.sender_local, m.sender_domain, r.local, r.domain, r.host, r.reply, r.finished
FROM message AS m JOIN recipient AS r ON r.message_id = m.id
WHERE r.status = 'failed' AND r.finished >= %(since)s AND r.finished < %(until)s;
