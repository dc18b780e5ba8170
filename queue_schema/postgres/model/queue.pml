/* A queue on PostgreSQL that several relays share: one message, two relays, a primary server and a synchronous standby.
 *
 * README.md tells the meaning of each assertion and of each guard. `-DNO_...` takes one guard out. CUTS, FAILOVERS,
 * WARNINGS, TAKEOVERS, REFUSALS and REMOVALS are the numbers of faults and events that the checker may put at any moment.
 */

#ifndef CUTS
#define CUTS 0
#endif
#ifndef FAILOVERS
#define FAILOVERS 0
#endif
#ifndef WARNINGS
#define WARNINGS 0
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 0
#endif
#ifndef REFUSALS
#define REFUSALS 0
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif

#define NOBODY 7

mtype = { nothing, add, claim, mark, done, later, withdraw };
mtype = { none, ok, lost, fenced_off, failed, unknown };

/* The rows about the message, its history, the lanes and the nodes. Relay 0 is node 0, and node 2 after a takeover; relay
 * 1 is node 1, then node 3.
 */
typedef Database {
    bit waiting;                /* message: the row is there */
    unsigned node : 3;          /* message.node */
    unsigned token : 4;         /* message.token */
    bit doubt;                  /* message.doubt */
    unsigned verdict : 4;       /* recipient.verdict */
    bit finished;               /* history: the row is there */
    unsigned ended_by : 3;      /* history.node */
    unsigned ended_token : 4;   /* history.token */
    bit marked[4];              /* lane.sending */
    bit fenced[4];              /* lane.fenced */
    unsigned accepted : 2;      /* the sums of the lanes */
    unsigned delivered : 2;
    unsigned removed : 2
};
Database primary, standby;

/* A statement of a relay, and its answer. */
typedef Statement {
    mtype operation;
    unsigned node : 3;
    unsigned token : 4;
    bit again;                  /* the batch is offered again */
    bit other_lane;             /* it goes by another lane than the mark */
    bit sending;                /* the text for lane.sending has the message */
    bit sent;                   /* the server has yet to carry it out */
    bit waits;                  /* it is committed on the primary, and waits for the standby */
    bit doubt;                  /* of the answer to a mark */
    bit warning;                /* a notice of severity WARNING came with the answer */
    mtype outcome;
    mtype answer;               /* the outcome as soon as the relay may see it */
#ifdef SNAPSHOTS
    bit started;                /* its snapshot is taken */
    bit seen;                   /* what it looked up in that snapshot */
#endif
};
Statement at[2];
/* The last statement whose connection was cut before the server carried it out. It may still do so. */
Statement orphan;
bit orphan_of;

byte cuts = CUTS, failovers = FAILOVERS, warnings = WARNINGS, takeovers = TAKEOVERS, refusals = REFUSALS,
    removals = REMOVALS;

/* The memory of the relays. */
unsigned node0 : 2 = 0;
unsigned node1 : 2 = 1;
bit sending[2];                 /* the message is in the text for lane.sending */
bit broken[2];                  /* the connection has ended, which the relay does not know yet */

/* Facts outside of the database. */
bit acknowledged;               /* the client heard 250 */
bit refused;                    /* the client heard 451 */
bit gone;                       /* the relay knows that a refused message is out of the queue */
bit forbidden;                  /* an operator heard that the message is removed, and it was not marked */
bit granted[2];                 /* the last mark of a relay was recorded, and its work is not settled */
bit removing;                   /* such a removal waits for the standby */
unsigned copies : 2;            /* copies that a remote host accepted */
bit told;                       /* a possible duplicate was told */

hidden byte wrote;
hidden byte changed;

#define NODE(relay) (relay -> node1 : node0)

inline copy(to, from) {
    to.waiting = from.waiting; to.node = from.node; to.token = from.token; to.doubt = from.doubt;
    to.verdict = from.verdict; to.finished = from.finished; to.ended_by = from.ended_by;
    to.ended_token = from.ended_token; to.removed = from.removed;
    to.marked[0] = from.marked[0]; to.marked[1] = from.marked[1];
    to.marked[2] = from.marked[2]; to.marked[3] = from.marked[3];
    to.fenced[0] = from.fenced[0]; to.fenced[1] = from.fenced[1];
    to.fenced[2] = from.fenced[2]; to.fenced[3] = from.fenced[3];
    to.accepted = from.accepted; to.delivered = from.delivered
}

inline forget(s) {
    s.operation = 0; s.node = 0; s.token = 0; s.again = 0; s.other_lane = 0; s.sending = 0; s.sent = 0; s.waits = 0;
    s.doubt = 0; s.warning = 0; s.outcome = 0; s.answer = 0;
#ifdef SNAPSHOTS
    s.started = 0; s.seen = 0;
#endif
}

/* The promises about the database, at each of its changes. */
inline check() {
    assert(!acknowledged || primary.waiting || primary.finished);                           /* P1 */
    assert(primary.delivered <= 1);                                                         /* P2 */
    assert(primary.accepted == primary.waiting + primary.delivered + primary.removed);      /* P3 */
    assert(!primary.waiting || primary.node == NOBODY || !primary.fenced[primary.node])     /* P4 */
}

#ifdef NO_FENCE
#define ALIVE(s) true
#else
#define ALIVE(s) (!primary.fenced[s.node])
#endif

#ifdef NO_NODE
#define BY_NODE(s) true
#else
#define BY_NODE(s) (primary.node == s.node)
#endif
#ifdef NO_TOKEN
#define BY_TOKEN(s) true
#else
#define BY_TOKEN(s) (primary.token == s.token)
#endif
#define OWNED(s) (primary.waiting && BY_NODE(s) && BY_TOKEN(s))
#ifdef NO_MARK_OWNER
#define MARKABLE(s) true
#elif defined(NO_ROW_LOCK)
#define MARKABLE(s) (s.seen)
#else
#define MARKABLE(s) OWNED(s)
#endif
#ifdef NO_SETTLE_OWNER
#define SETTLEABLE(s) (primary.waiting)
#else
#define SETTLEABLE(s) OWNED(s)
#endif
#ifdef NO_WITHDRAW_OWNER
#define WITHDRAWABLE(s) (primary.waiting)
#else
#define WITHDRAWABLE(s) OWNED(s)
#endif

#define IN_HISTORY(s) (primary.finished && primary.ended_by == s.node && primary.ended_token == s.token)
#ifdef NO_HISTORY
#define KNOWN(s) false
#elif defined(NO_LOOK_AFTER)
#define KNOWN(s) (s.again && s.seen)
#else
#define KNOWN(s) (s.again && primary.finished)
#endif
#ifdef NO_SECOND_LOOK
#define RECORDED(s) false
#elif defined(NO_OWN_STATEMENT)
#define RECORDED(s) (s.again && s.seen)
#else
#define RECORDED(s) (s.again && IN_HISTORY(s))
#endif

#ifdef SNAPSHOTS
/* Takes the snapshot of a statement, and looks up what the statement does not look up again later. */
inline start(s) {
    s.started = 1;
    if
    :: s.operation == mark -> s.seen = OWNED(s)
    :: s.operation == add -> s.seen = primary.finished
    :: s.operation == done -> s.seen = IN_HISTORY(s)
    :: else -> skip
    fi
}
#define STARTED(s) (s.sent && s.started)
#else
#define STARTED(s) (s.sent)
#endif

/* Writes the text of the marks into the lane of a statement. */
inline write_lane(s) {
    if
    :: !s.other_lane -> primary.marked[s.node] = s.sending
    :: else -> skip
    fi
}

/* Carries out a statement on the primary. `wrote` tells whether its answer has to wait for the standby. */
inline execute(s) {
    wrote = 1; changed = 0;
    s.outcome = ok;
    s.sent = 0;
    if
    :: !ALIVE(s) -> s.outcome = fenced_off; wrote = 0
    :: else ->
        if
        :: s.operation == add ->
            write_lane(s);
            if
            :: primary.waiting ->
#ifdef NO_CONFLICT
                s.outcome = failed;
#endif
#ifdef NO_COUNT
                primary.accepted++;
#endif
                skip
            :: !primary.waiting && KNOWN(s) -> skip
            :: else ->
                primary.waiting = 1; primary.node = s.node; primary.token = 1; primary.doubt = 0; primary.accepted++; changed = 1
            fi
        :: s.operation == claim ->
            if
            :: primary.waiting && primary.node == NOBODY -> primary.node = s.node; primary.token++; s.token = primary.token
            :: else -> s.outcome = lost; wrote = 0      /* a claim does not write its lane */
            fi
        :: s.operation == mark ->
            write_lane(s);
            if
            :: MARKABLE(s) -> s.doubt = primary.doubt; granted[s.node & 1] = (REMOVALS > 0)
            :: else -> s.outcome = lost
            fi
        :: s.operation == done ->
            write_lane(s);
            if
            :: SETTLEABLE(s) ->
                primary.waiting = 0; primary.finished = 1; primary.ended_by = s.node; primary.ended_token = s.token;
                primary.delivered++; primary.node = NOBODY; primary.doubt = 0; changed = 1
            :: else ->
                if
                :: RECORDED(s) -> skip
                :: else -> s.outcome = lost
                fi
            fi
        :: s.operation == later ->
            write_lane(s);
            if
            :: SETTLEABLE(s) -> primary.node = NOBODY; primary.verdict = s.token; primary.doubt = 0; changed = 1
            :: else ->
                if
                :: s.again && primary.verdict == s.token -> skip
                :: else -> s.outcome = lost
                fi
            fi
        :: s.operation == withdraw ->
            if
            :: WITHDRAWABLE(s) ->
                primary.waiting = 0; primary.accepted--; primary.node = NOBODY; primary.doubt = 0; changed = 1
            :: !WITHDRAWABLE(s) && !primary.waiting && !primary.finished -> skip
            :: else -> s.outcome = lost
            fi
        fi;
#ifdef NO_LANE_WRITE
        /* What a statement found as the first offer had left it, it does not write. */
        if
        :: s.again && !changed -> wrote = 0
        :: else -> skip
        fi;
#endif
        check()
    fi
}

inline serve(relay) {
    execute(at[relay]);
#ifdef NO_OWN_STATEMENT
    if
    :: at[relay].again && orphan_of == relay -> forget(orphan)
    :: else -> skip
    fi;
#endif
    if
    :: wrote -> at[relay].waits = 1
    :: else -> at[relay].answer = at[relay].outcome
    fi
}

/* Answers a relay. */
inline acknowledge(relay) {
    if
    :: at[relay].waits -> at[relay].waits = 0; at[relay].answer = at[relay].outcome
    :: else -> skip
    fi
}

/* Ends the connection of a relay, which then does not know the outcome. */
inline cut_off(relay) {
    if
    :: at[relay].sent || at[relay].waits ->
        at[relay].sent = 0; at[relay].waits = 0; at[relay].outcome = 0; at[relay].doubt = 0; at[relay].answer = unknown
    :: else -> broken[relay] = 1
    fi
}

/* Cuts a connection. The server may carry out later what it has not yet carried out. */
inline cut(relay) {
    cuts--;
    if
    :: at[relay].sent ->
        forget(orphan);
        orphan.operation = at[relay].operation; orphan.node = at[relay].node; orphan.token = at[relay].token;
        orphan.again = at[relay].again; orphan.other_lane = at[relay].other_lane;
        orphan.sending = at[relay].sending; orphan.sent = 1;
#ifdef SNAPSHOTS
        orphan.started = at[relay].started; orphan.seen = at[relay].seen;
#endif
        orphan_of = relay
    :: else -> skip
    fi;
    cut_off(relay)
}

/* Takes over a node, in one transaction of another node. */
inline fence(dead) {
    takeovers--;
    if
    :: primary.waiting && primary.node == dead ->
        primary.node = NOBODY;
#ifndef NO_TOKEN_STEP
        primary.token++;
#endif
#ifndef NO_DOUBT
        primary.doubt = primary.doubt || primary.marked[dead]
#endif
    :: else -> skip
    fi;
    primary.marked[dead] = 0;
    primary.fenced[dead] = 1;
    check()
}
/* A node can be taken over while another one lives, also after its relay went on as a new one, because a failover may undo
 * a takeover. The new nodes are not taken over: the model has no further ones.
 */
#define MORTAL(dead) (takeovers > 0 && !primary.fenced[dead] && \
    ((node0 != dead && !primary.fenced[node0]) || (node1 != dead && !primary.fenced[node1])))

active proctype server() {
    do
#ifdef SNAPSHOTS
    :: d_step { at[0].sent && !at[0].started -> start(at[0]) }
    :: d_step { at[1].sent && !at[1].started -> start(at[1]) }
#endif
    :: d_step { STARTED(at[0]) -> serve(0) }
    :: d_step { STARTED(at[1]) -> serve(1) }
#if CUTS > 0
    :: d_step { cuts > 0 && (at[0].sent || at[0].waits) -> cut(0) }
    :: d_step { cuts > 0 && (at[1].sent || at[1].waits) -> cut(1) }
    :: d_step { orphan.sent -> execute(orphan); forget(orphan); orphan_of = 0 }
#endif
    /* The standby gets all of the log up to now, and says so. */
    :: d_step { at[0].waits || at[1].waits || removing ->
            if :: failovers > 0 -> copy(standby, primary) :: else -> skip fi;
            if :: removing -> removing = 0; forbidden = 1 :: else -> skip fi;
            acknowledge(0); acknowledge(1) }
#if FAILOVERS > 0
    /* The standby gets the log, and the primary does not hear of it. */
    :: d_step { failovers > 0 -> copy(standby, primary) }
    /* The primary is lost with its connections, and the standby takes its place. */
    :: d_step { failovers > 0 ->
            failovers--; copy(primary, standby); removing = 0; forget(orphan); orphan_of = 0; cut_off(0); cut_off(1);
            standby.waiting = 0; standby.node = 0; standby.token = 0; standby.doubt = 0; standby.verdict = 0;
            standby.finished = 0; standby.ended_by = 0; standby.ended_token = 0; standby.removed = 0;
            standby.marked[0] = 0; standby.marked[1] = 0; standby.marked[2] = 0; standby.marked[3] = 0;
            standby.fenced[0] = 0; standby.fenced[1] = 0; standby.fenced[2] = 0; standby.fenced[3] = 0;
            standby.accepted = 0; standby.delivered = 0;
            check() }
#endif
#if WARNINGS > 0
    /* The server stops waiting for the standby: success, with a warning. */
    :: d_step { warnings > 0 && at[0].waits -> warnings--; at[0].warning = 1; acknowledge(0) }
    :: d_step { warnings > 0 && at[1].waits -> warnings--; at[1].warning = 1; acknowledge(1) }
#endif
#if TAKEOVERS > 0
    :: d_step { MORTAL(0) -> fence(0) }
    :: d_step { MORTAL(1) -> fence(1) }
#endif
    /* A batch with other mail writes the marks that the relay then knows. */
    :: d_step { primary.marked[node0] && !sending[0] && !primary.fenced[node0] -> primary.marked[node0] = 0 }
    :: d_step { primary.marked[node1] && !sending[1] && !primary.fenced[node1] -> primary.marked[node1] = 0 }
#if REMOVALS > 0
    /* An operator removes the message. */
    :: d_step { removals > 0 && primary.waiting ->
            removals--; removing = !granted[0] && !granted[1];
            primary.waiting = 0; primary.finished = 1; primary.ended_by = NOBODY; primary.ended_token = 0;
            primary.removed++; primary.node = NOBODY; primary.doubt = 0; check() }
#endif
    od
}

/* Connects anew. The lane then belongs to the new connection, after a transaction there that still ran. */
inline take_over(what) {
    broken[me] = 0;
#if CUTS > 0 && !defined(NO_SESSION) && !defined(NO_OWN_STATEMENT)
    if
    :: orphan.sent && orphan_of == me -> forget(orphan); orphan_of = 0
    :: else -> skip
    fi;
#endif
    /* A message under this node that it does not have in work is released. */
    if
#ifdef NO_RELEASE
    :: false -> skip
#elif defined(NO_IN_WORK)
    :: primary.waiting && primary.node == NODE(me) -> primary.node = NOBODY
#else
    :: what == claim && primary.waiting && primary.node == NODE(me) -> primary.node = NOBODY
#endif
    :: else -> skip
    fi
}

/* Sends a statement and waits for its answer. A warning counts as an outcome that is not known. */
inline ask(what, second, other) {
    at[me].operation = what; at[me].node = NODE(me); at[me].token = token; at[me].again = second;
    at[me].other_lane = other; at[me].sending = sending[me] && what != done && what != later;
    if
    :: broken[me] -> at[me].answer = unknown
    :: else -> at[me].sent = 1
    fi;
    at[me].answer != 0;
    answer = at[me].answer;
#ifndef NO_WARNING
    if
    :: at[me].warning -> answer = unknown
    :: else -> skip
    fi;
#endif
    if
    :: answer == ok && what == claim -> token = at[me].token
    :: answer == ok && what == mark -> told = told || at[me].doubt
    :: else -> skip
    fi;
    forget(at[me]);
    if
    :: answer == unknown -> take_over(what)
    :: else -> skip
    fi
}

/* Offers a statement until its outcome is known. */
inline insist(what, other) {
    again = 0;
    do
    :: ask(what, again, other); again = 1;
        if
        :: answer == unknown -> skip
        :: else -> break
        fi
    od;
    again = 0
}

/* Goes on as a new node, because the present one is fenced off. */
inline begin_anew() {
    if
    :: me == 0 && node0 == 0 -> node0 = 2
    :: me == 1 && node1 == 1 -> node1 = 3
    :: else -> skip
    fi;
    sending[me] = 0; granted[me] = 0; token = 0
}

/* Works on the message: claims it, marks it, sends it and settles it. */
inline deliver() {
    do
    :: token == 0 && copies < 2 && !gone ->
        /* P5 */
        assert(!primary.waiting || primary.node != NODE(me) || primary.fenced[NODE(me)] || broken[me]);
        answer = 0;
        ask(claim, 0, 0);
        if
        :: answer == fenced_off -> begin_anew()
        :: else -> skip
        fi;
        answer = 0
    :: token > 0 ->
#ifndef NO_MARK
        sending[me] = 1;
        insist(mark, 0);
#else
        answer = ok;
#endif
        if
        :: answer == ok ->
            if
            :: verdict = done;
                copies++;
                assert(copies < 2 || told);                                         /* P6 */
                assert(!forbidden);                                                 /* P7 */
                assert(!gone && (!refused || primary.fenced[0]))                    /* P8 */
            :: refusals > 0 -> refusals--; verdict = later
            fi;
            if
            :: other = 0
            :: other = 1
            fi;
#ifdef NO_KEPT_MARK
            sending[me] = 0;
#endif
            insist(verdict, other);
            /* P9 */
            assert(answer != lost || verdict == later ||
                   !(primary.finished && primary.ended_by == NODE(me) && primary.ended_token == token));
            verdict = 0; other = 0
        :: else -> skip
        fi;
        sending[me] = 0; granted[me] = 0; token = 0;
        if
        :: answer == fenced_off -> begin_anew()
        :: else -> skip
        fi;
        answer = 0
    od
}

/* The relay to which the client speaks. Each relay runs until it waits for an answer. A pause at any other place would
 * not show: the answer then waits for the relay instead.
 */
active proctype accepting() {
    bit me = 0;
    unsigned token : 4 = 1;
    bit again = 0, other = 0;
    mtype answer = 0, verdict = 0;
    atomic {
        do
        :: ask(add, again, 0); again = 1;
            if
            :: answer == ok -> acknowledged = 1; break
            :: answer == fenced_off -> begin_anew(); token = 1
            :: answer == unknown -> skip
            :: answer == unknown -> refused = 1; break
            /* The id was there: the client hears a failure, and sends again. */
            :: answer == failed -> refused = 1; gone = 1; break
            fi
        od;
        if
        :: refused && !gone ->
            insist(withdraw, 0);
            if
            :: answer == ok -> gone = 1
            :: answer == fenced_off -> begin_anew()
            :: else -> skip
            fi;
            token = 0
        :: else -> skip
        fi;
        again = 0; answer = 0;
        deliver()
    }
}

active proctype other_relay() {
    bit me = 1;
    unsigned token : 4 = 0;
    bit again = 0, other = 0;
    mtype answer = 0, verdict = 0;
    atomic { deliver() }
}
