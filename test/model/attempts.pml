/*
 * A model of attempts, certificates, fences, crash, rollback and repair of one generation of one record,
 * for n = 3 vault nodes and t = 2 (protocol sections 6 and 7); what is left out, and why that hides no
 * violation, is in docs/model.md. Standard: Promela, as read by Spin 6.
 *
 * The network, coordinator and clients are one adversary that keeps every signature ever made and may use it
 * at any time. The model is one process whose every step is one durable action of one node.
 *
 * Bounds (-D):  LIMIT, ROLLBACKS, CRASHES, NUMBERS (highest attempt number), ANY_NODE (any node may be rolled
 *               back, one at a time; without it, always node 0, which loses nothing for one node by symmetry).
 * Removed (-D): NO_CERTIFICATE_CHECK, NO_FENCE, NO_MERGE_UNCERTIFIED, NO_ABSTAIN, OWN_HEAD_COUNTS,
 *               ABSTAIN_YIELDS, STALE_INCARNATION, NO_RECEIPT_CHECK, NO_MERGE_FENCES, NO_BAR, BAR_ADMITS_ANY,
 *               BAR_NOT_TOLD; each switches off one rule of the design.
 * Reachable:    REACH=1..4 asserts that something ordinary never happens; a search must refute it.
 */

#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef ROLLBACKS
#define ROLLBACKS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef NUMBERS
#define NUMBERS (LIMIT + 1)
#endif
#ifdef ANY_NODE
#define IMAGES 3
#else
#define IMAGES 1
#endif
#define N 3
#define SIZE (NUMBERS + 1)
#define ABSTAIN 3 /* the join of two different votes; votes are 0 (none), 1 and 2 (two blinded elements) */
#define RECEIPT 0 /* the statement "confirmed is at least a"; 1 and 2 are the two votes for a */

#define AT(x, y) ((x) * N + (y))
#define STATEMENT(x, a, kind) (((x) * SIZE + (a)) * 3 + (kind))
#define NEXT(x) (((x) + 1) % N)
#define LAST(x) (((x) + 2) % N)
#define MAX(p, q) ((p) > (q) -> (p) : (q))
#define MIN(p, q) ((p) < (q) -> (p) : (q))
#define QUORUM(mask) ((mask) == 3 || (mask) == 5 || (mask) == 6 || (mask) == 7)

/* Durable state of each node: goes back with its snapshot. */
byte incarnation[N];
byte attempt[N];
byte vote[N];      /* for number `attempt`; 0 when that is not above `confirmed` */
byte barred[N];    /* x votes for no number up to this one; 0 when that is not above `attempt` */
byte barVote[N];   /* but for this element at `barred` itself; ABSTAIN for none */
byte confirmed[N];
byte fence[9];     /* AT(x, y): the highest incarnation that x accepted from y */

/* Volatile state of each node: lost with every restart. */
bool repairing[N];
byte rejoin[N];    /* the incarnation asked for, standing for the nonce too; 0 before the node asks */
byte heads[N];     /* the peers whose heads are in, as a mask */
byte headAttempt[N];
byte headVote[N];
byte headConfirmed[N];
byte headFence[9];

/* What the adversary holds. */
byte statements[N * SIZE * 3]; /* 0, or 1 + the highest incarnation under which x signed it */
byte certified[SIZE];          /* mask: bit 0 for element 1, bit 1 for element 2 */
bool snapshotTaken[IMAGES];    /* one image, of disk and token, for each node that may be rolled back */
byte snapshotIncarnation[IMAGES];
byte snapshotAttempt[IMAGES];
byte snapshotVote[IMAGES];
byte snapshotBarred[IMAGES];
byte snapshotBarVote[IMAGES];
byte snapshotConfirmed[IMAGES];
byte snapshotFence[IMAGES * N];
byte rollbacks = ROLLBACKS;
byte crashes = CRASHES;
byte rolled;                   /* 0, or 1 + the node that was rolled back and has not served since */

/* Ghosts of the bound. */
byte committed;                /* the highest number with t receipts */
byte late;                     /* mask: nodes able, since that commit, to evaluate a number not above it */
byte evaluated[SIZE];          /* masks, since that commit: bits 0..2 for element 1, bits 3..5 for element 2 */

hidden byte i, j, k, m, count, found;
#ifdef REACH
bool rollbackSeen;
#endif

/* A signature of x on (a, kind) under its incarnation; `found` tells whether it completes a certificate. */
#if defined(NO_FENCE)
#define FITS(x, y, kind, s) (s != 0)
#elif defined(NO_RECEIPT_CHECK)
#define FITS(x, y, kind, s) ((kind) == RECEIPT -> s != 0 : s > fence[AT(x, y)])
#else
#define FITS(x, y, kind, s) (s > fence[AT(x, y)])
#endif

inline signStatement(x, a, kind) {
  found = FITS(x, NEXT(x), kind, statements[STATEMENT(NEXT(x), a, kind)]) ||
          FITS(x, LAST(x), kind, statements[STATEMENT(LAST(x), a, kind)]);
  statements[STATEMENT(x, a, kind)] = MAX(statements[STATEMENT(x, a, kind)], incarnation[x] + 1);
}

/* x signs whatever it would sign if asked: signing more never hinders the adversary. */
inline signAll(x) {
#if !defined(NO_FENCE) && !defined(STALE_INCARNATION)
  /* No peer has fenced off an incarnation that signs. */
  assert(incarnation[x] >= fence[AT(NEXT(x), x)] && incarnation[x] >= fence[AT(LAST(x), x)]);
#endif
  k = committed + 1;
  do
  :: k <= confirmed[x] ->
     signStatement(x, k, RECEIPT);
     if
     :: found -> /* the confirmation of k is committed: counting starts again */
        committed = k;
        late = 0;
        for (j : 0 .. k) {
          evaluated[j] = 0;
          for (m : 0 .. 2) {
            statements[STATEMENT(0, j, m)] = 0;
            statements[STATEMENT(1, j, m)] = 0;
            statements[STATEMENT(2, j, m)] = 0;
          }
        }
        for (j : k .. NUMBERS) { evaluated[j] = 0; }
     :: else
     fi;
     k++
  :: else -> break
  od;
  if
  :: vote[x] == 1 || vote[x] == 2 ->
     if
     :: attempt[x] > committed && !(certified[attempt[x]] & vote[x]) ->
        signStatement(x, attempt[x], vote[x]);
        if
        :: found ->
           certified[attempt[x]] = certified[attempt[x]] | vote[x];
           statements[STATEMENT(0, attempt[x], vote[x])] = 0;
           statements[STATEMENT(1, attempt[x], vote[x])] = 0;
           statements[STATEMENT(2, attempt[x], vote[x])] = 0;
        :: else
        fi
     :: else
     fi
  :: else
  fi
}

/* Forgets a statement that every peer has fenced off for ever; without this, equal futures look different. */
#define LEAST(y, x) (rollbacks && y < IMAGES -> 0 : fence[AT(y, x)])
inline forgetFenced(x) {
  skip;
#if !defined(NO_FENCE) && !defined(NO_RECEIPT_CHECK)
  count = MIN(LEAST(NEXT(x), x), LEAST(LAST(x), x));
  for (j : 1 .. NUMBERS) {
    for (m : 0 .. 2) {
      if
      :: statements[STATEMENT(x, j, m)] <= count -> statements[STATEMENT(x, j, m)] = 0
      :: else
      fi
    }
  }
#endif
}

/* Every serving node evaluates everything that it may, at once: that never hinders the adversary either. */
inline observe() {
  for (i : 0 .. N - 1) {
    forgetFenced(i);
    if
    :: repairing[i] -> skip
    :: else ->
       if
       :: confirmed[i] < committed -> late = late | (1 << i)
       :: else
       fi;
       for (j : 1 .. NUMBERS) {
         if
         :: j > committed && j > confirmed[i] ->
#ifdef NO_CERTIFICATE_CHECK
            if
            :: attempt[i] == j && vote[i] == 1 -> evaluated[j] = evaluated[j] | (1 << i)
            :: attempt[i] == j && vote[i] == 2 -> evaluated[j] = evaluated[j] | (8 << i)
            :: else
            fi
#else
            if
            :: certified[j] & 1 -> evaluated[j] = evaluated[j] | (1 << i)
            :: else
            fi;
            if
            :: certified[j] & 2 -> evaluated[j] = evaluated[j] | (8 << i)
            :: else
            fi
#endif
         :: else
         fi
       }
    fi
  }
  count = 0;
  for (j : 1 .. NUMBERS) {
    count = count + (QUORUM(evaluated[j] & 7) -> 1 : 0) + (QUORUM(evaluated[j] >> 3) -> 1 : 0);
#ifdef LEMMAS
    assert(certified[j] != 3);                               /* one element for each number */
    assert(certified[j] == 0 || j <= committed + LIMIT);     /* no number beyond the budget */
#endif
  }
#ifdef REACH
  assert(!(REACH == 1 && committed >= 1));
  assert(!(REACH == 2 && rollbackSeen && !rolled && !repairing[0] && !repairing[1] && !repairing[2]));
  assert(!(REACH == 3 && rollbackSeen && !rolled && committed == NUMBERS - LIMIT && certified[NUMBERS]));
  assert(!(REACH == 4 && barVote[0] == ABSTAIN && !repairing[0]));
  assert(!(REACH == 5 && barVote[0] == 1 && !repairing[0]));
#else
  assert(count <= LIMIT);   /* the guess bound */
  assert(!QUORUM(late));    /* and nothing before it gets t evaluations any more */
#endif
}

#ifdef BAR_ADMITS_ANY
#define ADMITS(x, a, b) ((a) >= barred[x])
#else
#define ADMITS(x, a, b) ((a) > barred[x] || ((a) == barred[x] && (b) == barVote[x]))
#endif
#define MAY_VOTE(x, a, b) \
  (!repairing[x] && (a) > attempt[x] && (a) > confirmed[x] && (a) - confirmed[x] <= LIMIT && \
   (b == 1 || started[a]) && ADMITS(x, a, b))

inline castVote(x, a, b) {
  started[a] = true;
  attempt[x] = a;
  vote[x] = b;
  barred[x] = 0; /* a number below it would not have been voted for */
  barVote[x] = 0;
  signAll(x);
  observe()
}

/* A bar that the node's own number has reached says nothing any more. */
inline forgetBar(x) {
  if
  :: barred[x] <= attempt[x] -> barred[x] = 0; barVote[x] = 0
  :: else
  fi
}

inline confirm(x, a) {
  confirmed[x] = a;
  if
  :: attempt[x] <= a -> attempt[x] = a; vote[x] = 0
  :: else
  fi;
  forgetBar(x);
  signAll(x);
  observe()
}

inline forgetHeads(x) {
  heads[x] = 0;
  headAttempt[x] = 0;
  headVote[x] = 0;
  headConfirmed[x] = 0;
  for (j : 0 .. N - 1) { headFence[AT(x, j)] = 0; }
}

inline restart(x) {
  repairing[x] = true;
  rejoin[x] = 0;
  forgetHeads(x);
  observe()
}

inline takeSnapshot(x) {
  snapshotTaken[x] = true;
  snapshotIncarnation[x] = incarnation[x];
  snapshotAttempt[x] = attempt[x];
  snapshotVote[x] = vote[x];
  snapshotBarred[x] = barred[x];
  snapshotBarVote[x] = barVote[x];
  snapshotConfirmed[x] = confirmed[x];
  for (j : 0 .. N - 1) { snapshotFence[AT(x, j)] = fence[AT(x, j)]; }
  skip
}

inline forgetSnapshots() {
  for (i : 0 .. IMAGES - 1) {
    snapshotTaken[i] = false;
    snapshotIncarnation[i] = 0;
    snapshotAttempt[i] = 0;
    snapshotVote[i] = 0;
    snapshotBarred[i] = 0;
    snapshotBarVote[i] = 0;
    snapshotConfirmed[i] = 0;
    for (j : 0 .. N - 1) { snapshotFence[AT(i, j)] = 0; }
  }
}

/* Disk and token image go back: the incarnation and the fences with them. */
inline rollBack(x) {
  rollbacks--;
  rolled = x + 1;
#ifdef REACH
  rollbackSeen = true;
#endif
  incarnation[x] = snapshotIncarnation[x];
  attempt[x] = snapshotAttempt[x];
  vote[x] = snapshotVote[x];
  barred[x] = snapshotBarred[x];
  barVote[x] = snapshotBarVote[x];
  confirmed[x] = snapshotConfirmed[x];
  for (j : 0 .. N - 1) { fence[AT(x, j)] = snapshotFence[AT(x, j)]; }
  if
  :: rollbacks == 0 -> forgetSnapshots()
  :: else
  fi;
  restart(x)
}

/* "above every own incarnation that it is told of" */
inline ask(x) {
  forgetHeads(x);
#ifdef STALE_INCARNATION
  rejoin[x] = incarnation[x] + 1;
#else
  rejoin[x] = MAX(incarnation[x], MAX(fence[AT(NEXT(x), x)], fence[AT(LAST(x), x)])) + 1;
#endif
}

/* A peer refuses an incarnation that is not above its fence; the node then asks again, from the start. */
#ifdef STALE_INCARNATION
#define ACCEPTS(y, x) (rejoin[x] >= fence[AT(y, x)])
#else
#define ACCEPTS(y, x) (rejoin[x] > fence[AT(y, x)])
#endif

/* The join of a number's votes: none, one element, or abstaining. */
inline joinVote(a, v, intoAttempt, intoVote) {
  if
  :: a > intoAttempt -> intoAttempt = a; intoVote = v
  :: a == intoAttempt && v != 0 && v != intoVote ->
#ifdef NO_ABSTAIN
     intoVote = v
#elif defined(ABSTAIN_YIELDS)
     intoVote = (intoVote == 0 || intoVote == ABSTAIN -> v : (v == ABSTAIN -> intoVote : ABSTAIN))
#else
     intoVote = (intoVote == 0 -> v : ABSTAIN)
#endif
  :: else
  fi
}

/* Peer y anchors the fence, then answers with its head; x merges it when it has them all, so a head may be stale. */
inline answer(y, x) {
  fence[AT(y, x)] = rejoin[x];
  heads[x] = heads[x] | (1 << y);
#ifdef NO_MERGE_UNCERTIFIED
  joinVote(confirmed[y], 0, headAttempt[x], headVote[x]); /* nobody need have shown the peer its certificate */
#else
  joinVote(attempt[y], vote[y], headAttempt[x], headVote[x]);
#ifndef BAR_NOT_TOLD
  if
  :: barred[y] -> joinVote(barred[y], barVote[y], headAttempt[x], headVote[x])
  :: else
  fi;
#endif
#endif
  headConfirmed[x] = MAX(headConfirmed[x], confirmed[y]);
#ifndef NO_MERGE_FENCES
  for (j : 0 .. N - 1) {
    if
    :: j == x -> skip
    :: j == y -> headFence[AT(x, j)] = MAX(headFence[AT(x, j)], incarnation[y])
    :: else -> headFence[AT(x, j)] = MAX(headFence[AT(x, j)], fence[AT(y, j)])
    fi
  }
#endif
  observe()
}

#ifdef OWN_HEAD_COUNTS
#define ENOUGH(x) (heads[x] != 0)
#else
#define ENOUGH(x) (heads[x] == 7 - (1 << (x)))
#endif

inline serve(x) {
  confirmed[x] = MAX(confirmed[x], headConfirmed[x]);
  if
  :: attempt[x] <= confirmed[x] -> attempt[x] = confirmed[x]; vote[x] = 0
  :: else
  fi;
  /* Its own votes stay, those of others bar: for t - 1 = 1 any one of the two peers makes a forgotten vote possible. */
  barred[x] = headAttempt[x];
  barVote[x] = headVote[x];
#ifdef NO_BAR
  barred[x] = 0;
#endif
  forgetBar(x);
  for (j : 0 .. N - 1) { fence[AT(x, j)] = MAX(fence[AT(x, j)], headFence[AT(x, j)]); }
  incarnation[x] = rejoin[x];
  rejoin[x] = 0;
  repairing[x] = false;
  forgetHeads(x);
  if
  :: rolled == x + 1 -> rolled = 0
  :: else
  fi;
  signAll(x);
  observe()
}

/* Restarted, and nobody has answered yet. A crash does not stop here: until its first answer, a node that crashed
   differs from one that is idle only in that it evaluates less. A rolled-back one does: its stale head counts. */
#define FRESH(x) (repairing[x] && heads[x] == 0)

#define NODE_STEPS(x) \
  :: d_step { crashes > 0 && !FRESH(x) -> crashes--; restart(x); ask(x); answer(NEXT(x), x) } \
  :: d_step { crashes > 0 && !FRESH(x) -> crashes--; restart(x); ask(x); answer(LAST(x), x) } \
  :: d_step { FRESH(x) -> ask(x); answer(NEXT(x), x) } \
  :: d_step { FRESH(x) -> ask(x); answer(LAST(x), x) } \
  :: d_step { heads[x] == 1 << NEXT(x) && ACCEPTS(LAST(x), x) -> answer(LAST(x), x) } \
  :: d_step { heads[x] == 1 << LAST(x) && ACCEPTS(NEXT(x), x) -> answer(NEXT(x), x) } \
  :: d_step { heads[x] == 1 << NEXT(x) && !ACCEPTS(LAST(x), x) -> ask(x); answer(LAST(x), x) } \
  :: d_step { heads[x] == 1 << LAST(x) && !ACCEPTS(NEXT(x), x) -> ask(x); answer(NEXT(x), x) } \
  :: d_step { heads[x] && ENOUGH(x) -> serve(x) }

#define ROLL_STEPS(x) \
  :: d_step { rollbacks > 0 -> takeSnapshot(x) } \
  :: d_step { rollbacks > 0 && snapshotTaken[x] && (rolled == 0 || rolled == x + 1) -> rollBack(x) }

#define NUMBER_STEPS(x, a) \
  :: d_step { MAY_VOTE(x, a, 1) -> castVote(x, a, 1) } \
  :: d_step { MAY_VOTE(x, a, 2) -> castVote(x, a, 2) } \
  :: d_step { !repairing[x] && certified[a] && confirmed[x] < (a) -> confirm(x, a) }

/* By symmetry the first element that anybody votes for under a number is element 1. */
bool started[SIZE];

init {
end:
  do
  NODE_STEPS(0)
  NODE_STEPS(1)
  NODE_STEPS(2)
  ROLL_STEPS(0)
#ifdef ANY_NODE
  ROLL_STEPS(1)
  ROLL_STEPS(2)
#endif
  NUMBER_STEPS(0, 1) NUMBER_STEPS(1, 1) NUMBER_STEPS(2, 1)
#if NUMBERS > 1
  NUMBER_STEPS(0, 2) NUMBER_STEPS(1, 2) NUMBER_STEPS(2, 2)
#endif
#if NUMBERS > 2
  NUMBER_STEPS(0, 3) NUMBER_STEPS(1, 3) NUMBER_STEPS(2, 3)
#endif
#if NUMBERS > 3
  NUMBER_STEPS(0, 4) NUMBER_STEPS(1, 4) NUMBER_STEPS(2, 4)
#endif
  od
}
