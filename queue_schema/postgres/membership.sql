-- The statements about the relays that share a queue. Leases of nodes are decided by the clock of the database alone.
-- They run on sessions of their own, which may read whole tables.

-- Starts wait for each other at the row of the operators' node, so that no two of them choose the same tag.

-- name: lock_starts
SELECT 1 FROM node WHERE id = 0 FOR UPDATE;

-- name: tags
SELECT (SELECT tag FROM node ORDER BY id DESC LIMIT 1), array(SELECT tag FROM node WHERE NOT buried);

-- name: add_node
INSERT INTO node (name, program, schema_known, tag, alive_until)
VALUES (%(name)s, %(program)s, %(schema_known)s, %(tag)s, clock_timestamp() + %(lease)s * interval '1 s')
RETURNING id;

-- name: add_lanes
INSERT INTO lane (node, n) SELECT %(node)s::bigint, generate_series(0, %(lanes)s::integer - 1);

-- name: lock_lanes
SELECT n FROM lane WHERE node = %(node)s ORDER BY n FOR UPDATE;

-- name: dead_nodes
SELECT id FROM node WHERE NOT buried AND alive_until < clock_timestamp() ORDER BY id;

-- A relay whose own lease is over must not bury others: it may have been stopped since it decided to do so.

-- name: dead_node
SELECT dead.name, extract(epoch FROM clock_timestamp() - dead.alive_until)::double precision
FROM node AS dead, node AS mine
WHERE dead.id = %(node)s AND NOT dead.buried AND dead.alive_until < clock_timestamp()
AND mine.id = %(by)s AND NOT mine.buried AND mine.alive_until > clock_timestamp()
FOR UPDATE OF dead;

-- name: own_node
SELECT name, 0.0::double precision FROM node WHERE id = %(node)s AND NOT buried FOR UPDATE;

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
                     ELSE (coalesce(message.doubt::jsonb, '[]') || mine.ranges)::text END
    FROM mine WHERE message.id = mine.id AND message.node = %(node)s RETURNING 1
)
SELECT count(*) FROM given;

-- name: bury_lanes
UPDATE lane SET buried = true, sending = '{}' WHERE node = %(node)s;

-- name: bury_node
UPDATE node SET buried = true, alive_until = clock_timestamp() WHERE id = %(node)s;
