-- The statements about the relays that share a queue. Leases of nodes are decided by the clock of the database alone.
-- They run on sessions of their own, which may read whole tables.

-- Starts wait for each other at the row of the operators' node, so that no two of them choose the same tag.

-- name: lock_starts
SELECT 1 FROM node WHERE id = 0 FOR UPDATE;

-- name: oldest_compatible
SELECT value, EXISTS (SELECT FROM meta WHERE name = 'moving_away') FROM meta WHERE name = 'oldest_compatible';

-- name: tags
SELECT (SELECT tag FROM node ORDER BY id DESC LIMIT 1), array(SELECT tag FROM node WHERE NOT fenced);

-- name: add_node
INSERT INTO node (name, program, schema_known, tag, alive_until)
VALUES (%(name)s, %(program)s, %(schema_known)s, %(tag)s, clock_timestamp() + %(lease)s * interval '1 s')
RETURNING id;

-- name: add_lanes
INSERT INTO lane (node, n) SELECT %(node)s::bigint, generate_series(0, %(lanes)s::integer - 1);

-- name: lock_lanes
SELECT n FROM lane WHERE node = %(node)s ORDER BY n FOR UPDATE;

-- name: dead_nodes
SELECT id FROM node WHERE NOT fenced AND alive_until < clock_timestamp() ORDER BY id;

-- A relay whose own lease is over must not take others over: it may have been stopped since it decided to do so.

-- name: dead_node
SELECT dead.name, extract(epoch FROM clock_timestamp() - dead.alive_until)::double precision
FROM node AS dead, node AS mine
WHERE dead.id = %(node)s AND NOT dead.fenced AND dead.alive_until < clock_timestamp()
AND mine.id = %(by)s AND NOT mine.fenced AND mine.alive_until > clock_timestamp()
FOR UPDATE OF dead;

-- name: own_node
SELECT name, 0.0::double precision FROM node WHERE id = %(node)s AND NOT fenced FOR UPDATE;

-- Marks of messages that the node no longer had are dropped: another claim has ended them or marked anew.

-- name: give_back
WITH mark AS (
    SELECT key::bigint AS id, jsonb_agg(range) AS ranges
    FROM lane, jsonb_each(sending::jsonb), jsonb_array_elements(value) AS range
    WHERE node = %(node)s GROUP BY key
), mine AS (
    SELECT message.id, mark.ranges FROM message LEFT JOIN mark USING (id) WHERE message.node = %(node)s
), given AS (
    UPDATE message
    SET node = NULL, token = token + 1, due = extract(epoch FROM clock_timestamp()),
        doubt = CASE WHEN mine.ranges IS NULL THEN message.doubt
                     ELSE jsonb_build_object(message.id, coalesce(message.doubt::jsonb -> message.id::text, '[]')
                                                         || mine.ranges)::text END
    FROM mine WHERE message.id = mine.id AND message.node = %(node)s RETURNING 1
)
SELECT count(*) FROM given;

-- name: fence_lanes
UPDATE lane SET fenced = true, sending = '{}' WHERE node = %(node)s;

-- name: fence_node
UPDATE node SET fenced = true, alive_until = clock_timestamp() WHERE id = %(node)s;

-- A sign of life need not be durable: the others judge it by the database at hand, and one that a failover lost is
-- followed by the next.

-- name: beat
WITH mine AS (
    UPDATE node SET alive_until = clock_timestamp() + %(lease)s * interval '1 s'
    WHERE id = %(node)s AND NOT fenced RETURNING 1
)
SELECT (SELECT count(*) FROM mine) = 1,
       coalesce(array_agg(id) FILTER (WHERE alive_until >= clock_timestamp() AND isfinite(alive_until)), '{}'),
       count(*) FILTER (WHERE alive_until < clock_timestamp()),
       extract(epoch FROM clock_timestamp())::double precision,
       set_config('synchronous_commit', 'off', true)
FROM node WHERE NOT fenced AND id <> %(node)s;

-- name: take_chore
UPDATE chore SET next = clock_timestamp() + %(interval)s * interval '1 s'
WHERE name = %(name)s AND next <= clock_timestamp() RETURNING 1;

-- A relay that finds itself fenced off may still add a message whose chunks it stored before, as a new node. Of one that
-- lives, an add may have failed after its chunks were stored.

-- name: sweep_chunks
WITH stray AS (
    SELECT message_id, n FROM chunk
    WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = chunk.message_id)
    AND (stored < extract(epoch FROM clock_timestamp()) - %(most_age)s
         OR NOT EXISTS (SELECT 1 FROM node WHERE node.id = chunk.node
                        AND (NOT fenced OR alive_until > clock_timestamp() - %(age)s * interval '1 s')))
    LIMIT %(limit)s
), swept AS (
    DELETE FROM chunk USING stray WHERE chunk.message_id = stray.message_id AND chunk.n = stray.n RETURNING 1
)
SELECT count(*) FROM swept;

-- The newest node stays, because the next tag is counted from its own. Counts of its lanes go to the operators' lane.

-- name: fold_nodes
WITH old AS (
    SELECT id FROM node
    WHERE fenced AND id <> 0 AND alive_until < clock_timestamp() - %(age)s * interval '1 s'
    AND id < (SELECT max(id) FROM node)
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), lanes AS (
    DELETE FROM lane USING old WHERE lane.node = old.id RETURNING accepted, delivered, failed, removed
), counts AS (
    SELECT coalesce(sum(accepted), 0)::bigint AS accepted, coalesce(sum(delivered), 0)::bigint AS delivered,
           coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(removed), 0)::bigint AS removed
    FROM lanes
), folded AS (
    UPDATE lane SET accepted = lane.accepted + counts.accepted, delivered = lane.delivered + counts.delivered,
                    failed = lane.failed + counts.failed, removed = lane.removed + counts.removed
    FROM counts WHERE lane.node = 0 AND lane.n = 0
), dropped AS (
    DELETE FROM node USING old WHERE node.id = old.id RETURNING 1
)
SELECT count(*) FROM dropped;

-- name: sweep_destinations
DELETE FROM destination
WHERE blocked_until < clock_timestamp() - %(age)s * interval '1 s'
   OR penalty = 0 AND changed < clock_timestamp() - interval '1 hour';

-- Of sessions of other users the start of the transaction is shown only to members of pg_read_all_stats.

-- name: oldest_transaction
SELECT name, extract(epoch FROM begun)::double precision, extract(epoch FROM clock_timestamp() - begun)::double precision
FROM (
    SELECT format('of %%s (process %%s)', coalesce(nullif(application_name, ''), usename), pid) AS name,
           xact_start AS begun
    FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
    UNION ALL
    SELECT format('prepared as %%s', gid), prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS running
WHERE begun < clock_timestamp() - %(age)s * interval '1 s'
ORDER BY begun LIMIT 1;

-- name: listen
LISTEN smtprelay;

-- name: notify
SELECT pg_notify('smtprelay', %(text)s);
