-- All statements of the queue, each under the name that the code uses. Statements are never built at run time: `?`
-- stands for a value. Only the conditions of an operator's search are put together, from constant parts, by
-- `mta/queue/sqlite/operator/search.py`. A list of ids is one value, a JSON array, so that many messages need one statement.

-- name: begin
BEGIN IMMEDIATE;

-- name: begin_reading
BEGIN;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: add_message
INSERT INTO message (id, created, size, in_file, sender_local, sender_domain, client, helo, protocol, body_type,
                     smtputf8, ret, envid, token, leased, due, held, login, message_id, subject, author, tls,
                     report_of, tls_demand, held_since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CASE ?17 WHEN 1 THEN ?2 END);

-- name: add_recipient
INSERT INTO recipient (message_id, idx, local, domain, notify, original, due, status, attempts, reply, host)
VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 0, '', '');

-- name: add_body
INSERT INTO body (message_id, data) VALUES (?, ?);

-- name: claimable
SELECT m.id, m.token + 1, m.created, m.size, m.in_file, m.sender_local, m.sender_domain, m.client, m.helo, m.protocol,
       m.body_type, m.smtputf8, m.ret, m.envid, m.delay_reported, b.data, m.login, m.tls_demand
FROM message AS m LEFT JOIN body AS b ON b.message_id = m.id
WHERE m.held = 0 AND m.due <= ?
ORDER BY m.due, m.leased, m.id
LIMIT ?;

-- name: claimable_among
SELECT m.id, m.token + 1, m.created, m.size, m.in_file, m.sender_local, m.sender_domain, m.client, m.helo, m.protocol,
       m.body_type, m.smtputf8, m.ret, m.envid, m.delay_reported, b.data, m.login, m.tls_demand
FROM message AS m NOT INDEXED LEFT JOIN body AS b ON b.message_id = m.id
WHERE m.id IN (SELECT value FROM json_each(?3)) AND m.held = 0 AND m.due <= ?1
ORDER BY m.due, m.leased, m.id
LIMIT ?2;

-- The domains are NULL if the next attempt for a recipient is to go another way.

-- name: due_messages
SELECT json_group_array(json_array(id, leased, created, delay_reported, domains)) FROM (
    SELECT id, leased, created, max(delay_reported, sender_local IS NULL) AS delay_reported,
           (SELECT CASE count(r.way) WHEN 0 THEN json_group_array(DISTINCT r.domain) END FROM recipient AS r
            WHERE r.message_id = m.id AND r.due IS NOT NULL) AS domains
    FROM message AS m WHERE held = 0 AND due <= ? ORDER BY due, leased, id LIMIT ?
);

-- As due_messages, for rules that ask for more than domains. A message with too many recipients comes with NULL for them.

-- name: due_envelopes
SELECT json_group_array(json_array(id, leased, created, delay_reported, domains, sender_local, sender_domain,
                                   client, helo, protocol, login, recipients)) FROM (
    SELECT id, leased, created, max(delay_reported, sender_local IS NULL) AS delay_reported,
           sender_local, sender_domain, client, helo, protocol, login,
           (SELECT CASE count(r.way) WHEN 0 THEN json_group_array(DISTINCT r.domain) END FROM recipient AS r
            WHERE r.message_id = m.id AND r.due IS NOT NULL) AS domains,
           (SELECT CASE WHEN count(*) <= ?3 THEN json_group_array(json_array(r.local, r.domain)) END
            FROM (SELECT local, domain FROM recipient
                  WHERE message_id = m.id AND due IS NOT NULL ORDER BY idx LIMIT ?3 + 1) AS r) AS recipients
    FROM message AS m WHERE held = 0 AND due <= ?1 ORDER BY due, leased, id LIMIT ?2
);

-- name: defer
UPDATE message NOT INDEXED SET due = deferred.due
FROM (SELECT value ->> 0 AS id, value ->> 1 AS due FROM json_each(?1)) AS deferred
WHERE message.id = deferred.id AND message.held = 0 AND message.leased = 0 AND message.due <= ?2;

-- name: lease
UPDATE message SET leased = 1, token = token + 1, due = ?1, leased_since = ?2
WHERE id IN (SELECT value FROM json_each(?3));

-- name: recipients
SELECT message_id, idx, local, domain, notify, original, status, attempts, way
FROM recipient
WHERE message_id IN (SELECT value FROM json_each(?))
ORDER BY message_id, idx;

-- name: confirm_lease
UPDATE message SET delay_reported = max(delay_reported, ?) WHERE id = ? AND token = ? AND leased = 1;

-- name: settle_recipient
UPDATE recipient SET status = ?1, attempts = attempts + (?1 <> 'removed'), due = ?, reply = ?, host = ?, finished = ?, signed_by = ?
WHERE message_id = ? AND idx = ? AND due IS NOT NULL;

-- name: end_reroute
UPDATE recipient SET way = NULL WHERE message_id = ? AND idx = ? AND way = ?;

-- name: add_attempt
INSERT INTO attempt (message_id, idx, number, time, host, reply, status, tls, waited, transfer)
SELECT message_id, idx, attempts, ?, ?, ?, ?, ?, ?, ? FROM recipient WHERE message_id = ? AND idx = ?
RETURNING number;

-- name: drop_attempts
DELETE FROM attempt WHERE message_id = ? AND idx = ? AND number > ? AND number <= ?;

-- name: earliest_due
SELECT min(due) FROM recipient WHERE message_id = ?;

-- name: give_back
UPDATE message SET leased = 0, due = ? WHERE id = ? AND token = ? AND leased = 1;

-- name: leased
SELECT 1 FROM message WHERE id = ? AND leased = 1;

-- name: finish_message
UPDATE message SET leased = 0, held = 0, due = NULL, finished = ? WHERE id = ? AND token = ? AND leased = 1;

-- name: drop_body
DELETE FROM body WHERE message_id = ?;

-- name: finished
SELECT 1 FROM message WHERE id = ? AND due IS NULL;

-- name: next_due
SELECT min(due) FROM message WHERE held = 0 AND due IS NOT NULL;

-- name: waiting_among
SELECT id, in_file FROM message
WHERE due IS NOT NULL AND id IN (SELECT value FROM json_each(?))
ORDER BY id;

-- name: all_waiting
SELECT id, in_file FROM message INDEXED BY waiting WHERE due IS NOT NULL ORDER BY id;

-- name: all_unheld
SELECT id, in_file FROM message INDEXED BY waiting WHERE held = 0 AND due IS NOT NULL ORDER BY id;

-- name: all_held
SELECT id, in_file FROM message INDEXED BY waiting WHERE held = 1 AND due IS NOT NULL ORDER BY id;

-- The recipient of an order comes in lower case.

-- name: waiting_for
SELECT id, in_file FROM message AS m
WHERE id IN (SELECT value FROM json_each(?1)) AND EXISTS (
    SELECT 1 FROM recipient AS r
    WHERE r.message_id = m.id AND r.due IS NOT NULL AND lower(r.local || iif(r.domain = '', '', '@' || r.domain)) = ?2)
ORDER BY id;

-- name: others_wait
SELECT message_id FROM recipient
WHERE message_id IN (SELECT value FROM json_each(?1)) AND due IS NOT NULL
      AND lower(local || iif(domain = '', '', '@' || domain)) <> ?2
LIMIT 1;

-- name: retry
UPDATE message SET held = 0, due = CASE leased WHEN 0 THEN min(due, ?1) ELSE due END
WHERE id IN (SELECT value FROM json_each(?2));

-- name: reroute
UPDATE recipient SET way = ?1
WHERE due IS NOT NULL AND message_id IN (SELECT value FROM json_each(?2))
      AND (?3 = '' OR lower(local || iif(domain = '', '', '@' || domain)) = ?3);

-- name: try_now
UPDATE message SET due = min(due, ?1) WHERE leased = 0 AND id IN (SELECT value FROM json_each(?2));

-- name: hold
UPDATE message SET held = ?1, held_since = ?2 WHERE held <> ?1 AND id IN (SELECT value FROM json_each(?3));

-- name: remove_recipients
UPDATE recipient SET status = 'removed', due = NULL, finished = ?1
WHERE due IS NOT NULL AND message_id IN (SELECT value FROM json_each(?2));

-- name: remove_recipient
UPDATE recipient SET status = 'removed', due = NULL, finished = ?1
WHERE due IS NOT NULL AND message_id IN (SELECT value FROM json_each(?2))
      AND lower(local || iif(domain = '', '', '@' || domain)) = ?3;

-- name: without_waiting
SELECT id, in_file FROM message AS m
WHERE id IN (SELECT value FROM json_each(?)) AND due IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM recipient AS r WHERE r.message_id = m.id AND r.due IS NOT NULL)
ORDER BY id;

-- name: remove_messages
UPDATE message SET leased = 0, held = 0, due = NULL, finished = ?1 WHERE id IN (SELECT value FROM json_each(?2));

-- name: remove_bodies
DELETE FROM body WHERE message_id IN (SELECT value FROM json_each(?));

-- name: returnable
SELECT m.id, m.token, m.created, m.size, m.in_file, m.sender_local, m.sender_domain, m.client, m.helo, m.protocol,
       m.body_type, m.smtputf8, m.ret, m.envid, m.delay_reported, b.data, m.login, m.tls_demand
FROM message AS m LEFT JOIN body AS b ON b.message_id = m.id
WHERE m.id = ? AND m.due IS NOT NULL;

-- name: last_replies
SELECT idx, reply, host FROM recipient
WHERE message_id = ?1 AND due IS NOT NULL AND (?2 = '' OR lower(local || iif(domain = '', '', '@' || domain)) = ?2);

-- name: return_recipient
UPDATE recipient SET status = 'failed', due = NULL, reply = ?, host = ?, finished = ?
WHERE message_id = ? AND idx = ? AND due IS NOT NULL;

-- name: forget
DELETE FROM message WHERE id IN (SELECT id FROM message WHERE finished < ? ORDER BY finished LIMIT ?);

-- name: entries
SELECT m.id, m.sender_local, m.sender_domain, m.size, m.created, m.client, m.held, m.leased, m.due,
       m.held_since, m.leased_since, m.message_id, m.subject, m.author, m.login, m.tls, m.tls_demand, m.report_of,
       r.local, r.domain, r.status, r.attempts, r.reply, r.host, r.finished, r.signed_by, r.way
FROM message AS m CROSS JOIN recipient AS r ON r.message_id = m.id
WHERE m.id IN (SELECT value FROM json_each(?))
ORDER BY m.id, r.idx;

-- name: attempts
SELECT message_id, idx, time, host, reply, status, tls, waited, transfer FROM attempt
WHERE message_id IN (SELECT value FROM json_each(?))
ORDER BY message_id, idx, number;

-- name: reports
SELECT report_of, id FROM message INDEXED BY report
WHERE report_of IS NOT NULL AND report_of IN (SELECT value FROM json_each(?))
ORDER BY report_of, id;

-- name: domains
SELECT r.domain, sum(m.held = 0), sum(m.held), sum(m.leased), min(m.created),
       sum(?1 - m.created < ?2), sum(?1 - m.created >= ?2 AND ?1 - m.created < ?3),
       sum(?1 - m.created >= ?3 AND ?1 - m.created < ?4), sum(?1 - m.created >= ?4 AND ?1 - m.created < ?5),
       sum(?1 - m.created >= ?5)
FROM message AS m INDEXED BY waiting CROSS JOIN recipient AS r ON r.message_id = m.id
WHERE m.due IS NOT NULL AND r.due IS NOT NULL
GROUP BY r.domain
ORDER BY count(*) DESC, r.domain;

-- Of the recipients with the largest message id and place, as SQLite defines for columns beside max().

-- name: domain_replies
SELECT r.domain, r.reply, r.host, max(printf('%020d %020d', m.id, r.idx))
FROM message AS m INDEXED BY waiting CROSS JOIN recipient AS r ON r.message_id = m.id
WHERE m.due IS NOT NULL AND r.due IS NOT NULL AND r.attempts > 0
GROUP BY r.domain;

-- name: content
SELECT m.in_file, b.data FROM message AS m LEFT JOIN body AS b ON b.message_id = m.id WHERE m.id = ? AND m.due IS NOT NULL;

-- name: first_due
SELECT id, due FROM message WHERE held = 0 AND due IS NOT NULL ORDER BY due, leased, id LIMIT 1;

-- name: never_due
SELECT r.message_id FROM recipient AS r JOIN message AS m ON m.id = r.message_id
WHERE r.due IS NOT NULL AND m.due IS NULL LIMIT 1;

-- name: count_messages
SELECT count(*), coalesce(sum(held), 0), coalesce(sum(leased), 0)
FROM message INDEXED BY waiting WHERE due IS NOT NULL;

-- name: load
SELECT count(CASE WHEN due <= ?1 AND NOT held AND NOT leased THEN 1 END), coalesce(sum(size), 0),
       min(CASE WHEN due <= ?1 AND NOT held AND NOT leased THEN due END)
FROM message INDEXED BY waiting WHERE due IS NOT NULL;

-- The first message to come may be one that waits for its release, from which its age counts. Only the first thousand
-- are looked at, because the rows of all would take thirty times as long (measured with 500,000).

-- name: oldest
SELECT min(created) FROM message
WHERE id IN (SELECT id FROM message INDEXED BY waiting WHERE due IS NOT NULL ORDER BY id LIMIT 1000);

-- name: count_finished
SELECT count(*) FROM message INDEXED BY history WHERE finished IS NOT NULL;

-- name: count_failed
SELECT count(DISTINCT CASE WHEN m.finished IS NOT NULL THEN m.id END),
       count(DISTINCT CASE WHEN m.sender_local IS NULL THEN m.id END)
FROM recipient AS r CROSS JOIN message AS m ON m.id = r.message_id
WHERE r.status = 'failed';

-- name: count_recipients
SELECT status, count(*) FROM recipient GROUP BY status;

-- name: update_ledger
UPDATE ledger SET accepted = accepted + ?, delivered = delivered + ?, failed = failed + ?, removed = removed + ?,
                  sending = coalesce(?, sending);

-- name: ledger
SELECT accepted, delivered, failed, removed FROM ledger;

-- name: in_flight_marks
SELECT sending FROM ledger;

-- name: still_waiting
SELECT local, domain FROM recipient WHERE message_id = ? AND idx = ? AND due IS NOT NULL;

-- name: recover_leases
UPDATE message SET leased = 0, due = ?
WHERE id IN (SELECT id FROM message INDEXED BY waiting WHERE due IS NOT NULL AND leased = 1);

-- name: newest
SELECT max(id) FROM message;

-- name: slice_end
SELECT max(id) FROM (SELECT id FROM message WHERE id > ? AND id <= ? ORDER BY id LIMIT ?);

-- Leaves messages alone that a client has wait until later, by the rule of `mta.queue.ids.release_of`.

-- name: make_due
UPDATE message NOT INDEXED SET due = ?1
WHERE id > ?2 AND id <= ?3 AND leased = 0 AND held = 0 AND due > ?1
      AND NOT (created > ?1 AND created = round(created) AND created - (id >> 10) / 1e6 BETWEEN ?4 AND ?5);

-- name: release_deferred
UPDATE message NOT INDEXED SET due = ?2
WHERE id IN (SELECT id FROM message INDEXED BY waiting
             WHERE held = 0 AND due = ?1 AND leased = 0 ORDER BY id LIMIT ?3);

-- name: waiting_files
SELECT id FROM message INDEXED BY waiting_in_file WHERE in_file = 1 AND due IS NOT NULL;

-- name: merge_mark
SELECT name, value FROM meta WHERE name IN ('merging', 'merged');

-- name: set_merge_mark
INSERT INTO meta (name, value) VALUES (?, ?);

-- name: clear_merge_mark
DELETE FROM meta WHERE name IN ('merging', 'merged');

-- During a merge the queue of a worker that no longer runs is attached as `leftover`.

-- name: attach
ATTACH ? AS leftover;

-- name: detach
DETACH leftover;

-- name: free_pages
PRAGMA main.freelist_count;

-- name: leftover_pages
PRAGMA leftover.page_count;

-- name: leftover_free_pages
PRAGMA leftover.freelist_count;

-- name: leftover_file_octets
SELECT coalesce(sum(size), 0) FROM leftover.message INDEXED BY waiting_in_file WHERE in_file = 1 AND due IS NOT NULL;

-- name: leftover_files
SELECT id FROM leftover.message INDEXED BY waiting_in_file WHERE in_file = 1 AND due IS NOT NULL ORDER BY id;

-- name: leftover_id_conflict
SELECT l.id
FROM leftover.message AS l CROSS JOIN main.message AS m ON m.id = l.id
WHERE (l.created, l.size, l.client, l.helo) <> (m.created, m.size, m.client, m.helo)
   OR l.sender_local IS NOT m.sender_local OR l.sender_domain IS NOT m.sender_domain
LIMIT 1;

-- name: leftover_messages
SELECT l.id, l.due IS NOT NULL,
       CASE WHEN l.in_file = 0 AND l.due IS NOT NULL THEN l.size ELSE 0 END
       + (SELECT coalesce(sum(200 + length(reply)), 0) FROM leftover.recipient WHERE message_id = l.id)
FROM leftover.message AS l
WHERE l.id > ? AND NOT EXISTS (SELECT 1 FROM main.message AS m WHERE m.id = l.id)
ORDER BY l.id
LIMIT ?;

-- name: copy_messages
INSERT INTO main.message (id, created, size, in_file, sender_local, sender_domain, client, helo, protocol, body_type,
                          smtputf8, ret, envid, delay_reported, held, token, leased, due, finished, held_since, login,
                          message_id, subject, author, tls, report_of, tls_demand)
SELECT id, created, size, in_file, sender_local, sender_domain, client, helo, protocol, body_type,
       smtputf8, ret, envid, delay_reported, held, token, 0, CASE leased WHEN 1 THEN ?1 ELSE due END, finished,
       held_since, login, message_id, subject, author, tls, report_of, tls_demand
FROM leftover.message
WHERE id IN (SELECT value FROM json_each(?2));

-- name: copy_recipients
INSERT INTO main.recipient (message_id, idx, local, domain, notify, original, status, attempts, due, reply, host,
                            finished, signed_by, way)
SELECT message_id, idx, local, domain, notify, original, status, attempts, due, reply, host, finished, signed_by, way
FROM leftover.recipient
WHERE message_id IN (SELECT value FROM json_each(?));

-- name: copy_attempts
INSERT INTO main.attempt (message_id, idx, number, time, host, reply, status, tls, waited, transfer)
SELECT message_id, idx, number, time, host, reply, status, tls, waited, transfer FROM leftover.attempt
WHERE message_id IN (SELECT value FROM json_each(?));

-- name: copy_counts
UPDATE main.ledger SET accepted = ledger.accepted + copied.accepted, delivered = ledger.delivered + copied.delivered,
                       failed = ledger.failed + copied.failed, removed = ledger.removed + copied.removed
FROM (SELECT count(*) AS accepted, coalesce(sum(status = 'delivered'), 0) AS delivered,
             coalesce(sum(status = 'failed'), 0) AS failed, coalesce(sum(status = 'removed'), 0) AS removed
      FROM leftover.recipient WHERE message_id IN (SELECT value FROM json_each(?))) AS copied;

-- Adds the counts of messages that the other queue's history has dropped, and its marks.

-- name: copy_forgotten
UPDATE main.ledger SET accepted = ledger.accepted + forgotten.accepted, delivered = ledger.delivered + forgotten.delivered,
                       failed = ledger.failed + forgotten.failed, removed = ledger.removed + forgotten.removed,
                       sending = json_patch(ledger.sending, forgotten.sending)
FROM (SELECT l.accepted - count(r.idx) AS accepted,
             l.delivered - coalesce(sum(r.status = 'delivered'), 0) AS delivered,
             l.failed - coalesce(sum(r.status = 'failed'), 0) AS failed,
             l.removed - coalesce(sum(r.status = 'removed'), 0) AS removed,
             l.sending AS sending
      FROM leftover.ledger AS l LEFT JOIN leftover.recipient AS r ON TRUE) AS forgotten;

-- name: copy_bodies
INSERT INTO main.body (message_id, data)
SELECT message_id, data FROM leftover.body WHERE message_id IN (SELECT value FROM json_each(?));
