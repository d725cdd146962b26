/*
 * A model of one change of membership for n = 3 and t = 2 (docs/protocol.md, section 7, "Epochs"): node 2 is
 * replaced, nodes 0 and 1 are to leave the old epoch and enter the new one. One attempt number, two blinded
 * elements; whatever happens, only one of them is ever certified, in either epoch. What is left out is in
 * docs/model.md. Standard: Promela, as read by Spin 6.
 *
 * As in attempts.pml the network, coordinators and clients are one adversary that keeps every signature, and
 * every step is one durable action of one node. The replaced machine runs on in the old epoch.
 *
 * Bounds (-D):  ROLLBACKS, ROLLED (the node that is rolled back; two images of it are kept), CRASHES.
 * Removed (-D): NO_LEAVE_FENCES, ONE_LEAVE, VOTES_ON, LEFT_ANSWERS, NO_BAR, NO_OWN_VOTE, TRUSTS_ITSELF; each
 *               switches off one rule.
 * Reachable:    REACH=1..3 asserts that something ordinary never happens; a search must refute it.
 */

#ifndef ROLLBACKS
#define ROLLBACKS 2
#endif
#ifndef ROLLED
#define ROLLED 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#define N 3
#define NEW 2     /* the number of the node that is replaced; in the new epoch, of its replacement */
#define ABSTAIN 3 /* no element; votes are 0 (none), 1 and 2 (two blinded elements) */

#define AT(x, y) ((x) * N + (y))
#define STATEMENT(x, b) ((x) * 2 + (b) - 1)
#define NEXT(x) (((x) + 1) % N)
#define LAST(x) (((x) + 2) % N)
#define MAX(p, q) ((p) > (q) -> (p) : (q))

/* Durable state in the old epoch: goes back with its image. A node that has left changes nothing of it any more. */
byte incarnation[N];
byte vote[N];
byte bar[N];      /* 0: none; else the one element that it still votes for, or ABSTAIN */
byte fence[9];    /* AT(x, y): the highest incarnation that x accepted from y */
bool left[N];

/* Volatile: a restart in the old epoch. */
bool repairing[N];
byte rejoin[N];
byte heads[N];
byte headVote[N]; /* of the peers heard: 0 where none has a vote or a bar */
byte headFence[9];

/* What the replacement has heard of the two leavers: their leave, and what they know. */
bool told[2];
byte toldVote[2];
byte toldIncarnation[2];
byte toldFence[2]; /* of the other one */

/* The new epoch. */
bool joined[N];
byte barNow[N];   /* what a joined node may vote for: 0 anything, ABSTAIN nothing */
byte voteNow[N];

/* What the adversary holds. */
byte statements[6]; /* 0, or 1 + the highest incarnation under which x voted for b in the old epoch */
byte certified;     /* mask of elements, in either epoch */
bool imageTaken[2];
byte imageIncarnation[2];
byte imageVote[2];
byte imageBar[2];
byte imageFence[6];
bool imageLeft[2];
byte rollbacks = ROLLBACKS;
byte crashes = CRASHES;

hidden byte j;

#define KNOWS(x) (vote[x] != 0 -> vote[x] : bar[x])
/* Two heads' votes together: none, one element, or ABSTAIN. */
#define JOIN(p, q) ((p) == 0 -> (q) : ((q) == 0 || (q) == (p) -> (p) : ABSTAIN))

inline check() {
#ifdef REACH
  assert(!(REACH == 1 && joined[0] && joined[1] && joined[NEW]));
  assert(!(REACH == 2 && joined[0] && joined[1] && joined[NEW] && barNow[NEW] == ABSTAIN));
  assert(!(REACH == 3 && certified != 0 && rollbacks == 0 && voteNow[NEW] != 0));
#else
  assert(certified != 3); /* one element for the number, whatever epoch */
#endif
}

#define FITS(x, y, b) (statements[STATEMENT(y, b)] > fence[AT(x, y)])

inline castOld(x, b) {
  vote[x] = b;
  if
  :: FITS(x, NEXT(x), b) || FITS(x, LAST(x), b) -> certified = certified | b
  :: else
  fi;
  statements[STATEMENT(x, b)] = MAX(statements[STATEMENT(x, b)], incarnation[x] + 1);
  check()
}

#ifdef VOTES_ON
#define STAYS(x) true
#else
#define STAYS(x) (!left[x])
#endif
#define MAY_VOTE_OLD(x, b) \
  (STAYS(x) && !repairing[x] && (vote[x] == 0 || vote[x] == (b)) && (vote[x] != 0 || bar[x] == 0 || bar[x] == (b)) && \
   statements[STATEMENT(x, b)] != incarnation[x] + 1)

inline takeImage(i) {
  imageTaken[i] = true;
  imageIncarnation[i] = incarnation[ROLLED];
  imageVote[i] = vote[ROLLED];
  imageBar[i] = bar[ROLLED];
  imageLeft[i] = left[ROLLED];
  for (j : 0 .. N - 1) { imageFence[i * N + j] = fence[AT(ROLLED, j)]; }
  skip
}

inline restart(x) {
  repairing[x] = !left[x];
  rejoin[x] = 0;
  heads[x] = 0;
  headVote[x] = 0;
  for (j : 0 .. N - 1) { headFence[AT(x, j)] = 0; }
  skip
}

inline rollBack(i) {
  rollbacks--;
  incarnation[ROLLED] = imageIncarnation[i];
  vote[ROLLED] = imageVote[i];
  bar[ROLLED] = imageBar[i];
  left[ROLLED] = imageLeft[i];
  for (j : 0 .. N - 1) { fence[AT(ROLLED, j)] = imageFence[i * N + j]; }
  restart(ROLLED)
}

inline ask(x) {
  restart(x);
  rejoin[x] = MAX(incarnation[x], MAX(fence[AT(NEXT(x), x)], fence[AT(LAST(x), x)])) + 1
}

#ifdef LEFT_ANSWERS
#define ANSWERS(y) true
#else
#define ANSWERS(y) (!left[y])
#endif

inline answer(y, x) {
  fence[AT(y, x)] = rejoin[x];
  heads[x] = heads[x] | (1 << y);
  headVote[x] = JOIN(headVote[x], KNOWS(y));
  headFence[AT(x, y)] = MAX(headFence[AT(x, y)], incarnation[y]);
  for (j : 0 .. N - 1) {
    if
    :: j == x -> skip
    :: else -> headFence[AT(x, j)] = MAX(headFence[AT(x, j)], fence[AT(y, j)])
    fi
  }
  skip
}

/* The peers had fenced off more than this node knows to have been: its own vote may be of a past that was left. */
#ifdef TRUSTS_ITSELF
#define FORGETFUL(x) false
#else
#define FORGETFUL(x) (rejoin[x] > incarnation[x] + 1)
#endif

inline serve(x) {
  if
  :: FORGETFUL(x) && headVote[x] != 0 -> vote[x] = 0
  :: else
  fi;
  bar[x] = (vote[x] == 0 -> headVote[x] : 0);
  for (j : 0 .. N - 1) { fence[AT(x, j)] = MAX(fence[AT(x, j)], headFence[AT(x, j)]); }
  incarnation[x] = rejoin[x];
  repairing[x] = false;
  rejoin[x] = 0;
  heads[x] = 0;
  headVote[x] = 0;
  for (j : 0 .. N - 1) { headFence[AT(x, j)] = 0; }
  skip
}

/* The replacement hears a leaver, once: what it says then counts. */
inline hear(x) {
  told[x] = true;
  toldVote[x] = KNOWS(x);
  toldIncarnation[x] = incarnation[x];
  toldFence[x] = fence[AT(x, 1 - x)]
}

#ifdef NO_LEAVE_FENCES
#define AGREE true
#define TOGETHER(x) true
#else
#define AGREE (toldFence[0] <= toldIncarnation[1] && toldFence[1] <= toldIncarnation[0])
#define TOGETHER(x) (fence[AT(x, 1 - x)] <= incarnation[1 - x] && fence[AT(1 - x, x)] <= incarnation[x])
#endif
#ifdef ONE_LEAVE
#define ENOUGH (told[0] || told[1])
#else
#define ENOUGH (told[0] && told[1] && AGREE)
#endif

inline joinNew() {
  joined[NEW] = true;
  barNow[NEW] = JOIN(toldVote[0], toldVote[1]);
#ifdef NO_BAR
  barNow[NEW] = 0;
#endif
  check()
}

/* A leaver learns from the other leaver and from the replacement: its own vote stays, and what it had barred. */
inline joinLeaver(x) {
  joined[x] = true;
  barNow[x] = JOIN(KNOWS(1 - x), (voteNow[NEW] != 0 -> voteNow[NEW] : barNow[NEW]));
#ifdef NO_BAR
  barNow[x] = 0;
#endif
  if
  :: vote[x] != 0 -> barNow[x] = vote[x]
  :: else -> barNow[x] = JOIN(barNow[x], bar[x])
  fi;
#ifdef NO_OWN_VOTE
  barNow[x] = 0;
#endif
  check()
}

inline castNow(x, b) {
  voteNow[x] = b;
  if
  :: voteNow[NEXT(x)] == b || voteNow[LAST(x)] == b -> certified = certified | b
  :: else
  fi;
  check()
}

#define RESTARTED(x) (repairing[x] && heads[x] == 0)
#define HEARD(x, y) (heads[x] & (1 << (y)))

#define OLD_STEPS(x) \
  :: d_step { MAY_VOTE_OLD(x, 1) -> castOld(x, 1) } \
  :: d_step { MAY_VOTE_OLD(x, 2) -> castOld(x, 2) } \
  :: d_step { crashes > 0 && !repairing[x] && !left[x] -> crashes--; restart(x) } \
  :: d_step { RESTARTED(x) && ANSWERS(NEXT(x)) -> ask(x); answer(NEXT(x), x) } \
  :: d_step { RESTARTED(x) && ANSWERS(LAST(x)) -> ask(x); answer(LAST(x), x) } \
  :: d_step { heads[x] == (1 << NEXT(x)) && ANSWERS(LAST(x)) && rejoin[x] > fence[AT(LAST(x), x)] -> answer(LAST(x), x) } \
  :: d_step { heads[x] == (1 << LAST(x)) && ANSWERS(NEXT(x)) && rejoin[x] > fence[AT(NEXT(x), x)] -> answer(NEXT(x), x) } \
  :: d_step { heads[x] == 7 - (1 << (x)) -> serve(x) }

#define LEAVER_STEPS(x) \
  :: d_step { !left[x] && !repairing[x] -> left[x] = true } \
  :: d_step { left[x] && !told[x] && !joined[NEW] -> hear(x) } \
  :: d_step { left[x] && left[1 - x] && !joined[x] && joined[NEW] && TOGETHER(x) -> joinLeaver(x) }

#define MAY_VOTE_NOW(x, b) (joined[x] && voteNow[x] == 0 && (barNow[x] == 0 || barNow[x] == (b)))
#define NEW_STEPS(x) \
  :: d_step { MAY_VOTE_NOW(x, 1) -> castNow(x, 1) } \
  :: d_step { MAY_VOTE_NOW(x, 2) -> castNow(x, 2) }

init {
end:
  do
  OLD_STEPS(0) OLD_STEPS(1) OLD_STEPS(2)
  LEAVER_STEPS(0) LEAVER_STEPS(1)
  :: d_step { !joined[NEW] && ENOUGH -> joinNew() }
  NEW_STEPS(0) NEW_STEPS(1) NEW_STEPS(2)
  :: d_step { rollbacks > 0 && !joined[ROLLED] -> takeImage(0) }
  :: d_step { rollbacks > 0 && !joined[ROLLED] -> takeImage(1) }
  :: d_step { rollbacks > 0 && !joined[ROLLED] && imageTaken[0] -> rollBack(0) }
  :: d_step { rollbacks > 0 && !joined[ROLLED] && imageTaken[1] -> rollBack(1) }
  od
}
