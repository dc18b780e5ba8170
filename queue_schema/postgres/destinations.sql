-- The statements about destinations that took no connection, which relays tell each other.

-- Later than `since` a change may have been committed that began before, so that some rows are read again.

-- name: changed
SELECT name, extract(epoch FROM blocked_until)::double precision, penalty, reply, host, status, kind, failed, changed
FROM destination WHERE changed > %(since)s::timestamptz - interval '10 s' ORDER BY changed LIMIT 10000;

-- The first relay that finds it dead begins the step of the back-off. The others find it dead a little later.

-- name: failed
INSERT INTO destination AS known (name, blocked_until, penalty, reply, host, status, kind)
VALUES (%(name)s, clock_timestamp() + %(first)s * interval '1 s', %(first)s, %(reply)s, %(host)s, %(status)s, %(kind)s)
ON CONFLICT (name) DO UPDATE
SET penalty = least(greatest(known.penalty * 2, excluded.penalty), %(longest)s::double precision),
    blocked_until = clock_timestamp()
                    + least(greatest(known.penalty * 2, excluded.penalty), %(longest)s) * interval '1 s',
    reply = excluded.reply, host = excluded.host, status = excluded.status, kind = excluded.kind,
    failed = clock_timestamp(), changed = clock_timestamp(), probe_node = NULL, probe_until = NULL
WHERE known.blocked_until <= clock_timestamp();

-- name: one
SELECT name, extract(epoch FROM blocked_until)::double precision, penalty, reply, host, status, kind, failed, changed
FROM destination WHERE name = %(name)s;

-- name: probe
UPDATE destination SET probe_node = %(node)s, probe_until = clock_timestamp() + %(seconds)s * interval '1 s'
WHERE name = %(name)s AND penalty > 0 AND blocked_until <= clock_timestamp()
AND (coalesce(probe_until, '-infinity') < clock_timestamp() OR probe_node = %(node)s
     OR NOT EXISTS (SELECT 1 FROM node WHERE id = probe_node AND NOT fenced)) RETURNING 1;

-- A failure that another relay saw since counts for more.

-- name: answered
UPDATE destination
SET penalty = 0, blocked_until = clock_timestamp(), changed = clock_timestamp(), probe_node = NULL, probe_until = NULL
WHERE name = %(name)s AND penalty > 0 AND failed <= %(failed)s;

-- name: retry
UPDATE destination
SET blocked_until = least(blocked_until, clock_timestamp()), changed = clock_timestamp(), probe_node = NULL,
    probe_until = NULL
WHERE name = %(name)s;
