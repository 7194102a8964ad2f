"""Why two blocks at one height cannot both become final: the rules of docs/protocol.md, section 4, given to Z3.

The proof is by induction over views. Blocks form a tree; validators that keep the rules are a sort of their own, and
all that is assumed of the others is what a quorum leaves them: any two quorums share a validator that keeps the rules.
Each lemma is proved from the rules and the lemmas before it, and each rule is taken away once: then some lemma must
no longer follow, or the rule would be idle and the proof would not be about this protocol.

    python agreement.py            # proves, then takes each rule away
    python agreement.py --without R1b

Exit code 0 when everything is as expected.
"""

import argparse
import sys

from z3 import (
    And, BoolSort, Const, DeclareSort, Exists, ForAll, Function, Implies, Int, Ints, IntSort, Not, Or, Solver, unsat,
)

# A proof takes a fraction of a second. Without a rule there is none to be found, and the search ends here.
PROOF_MS = 60_000
SEARCH_MS = 2_000

Block = DeclareSort("Block")
Keeper = DeclareSort("Keeper")  # a validator that keeps the rules

view = Function("view", Block, IntSort())
height = Function("height", Block, IntSort())
under = Function("under", Block, Block, BoolSort())  # the first is the second or an ancestor of it
stand = Function("stand", Block, Block)  # what the first block of a block's view stands on
term_end = Function("term_end", Block, BoolSort())

prepared = Function("prepared", Keeper, Block, BoolSort())
committed = Function("committed", Keeper, Block, BoolSort())
asked = Function("asked", Keeper, IntSort(), BoolSort())  # sent VIEW-CHANGE for this view
certified = Function("certified", Block, BoolSort())  # has a prepare certificate
final = Function("final", Block, BoolSort())  # has a commit certificate
best = Function("best", Block, IntSort(), BoolSort())  # is the best claim of a timeout certificate of this view

commit_time = Function("commit_time", Keeper, Block, IntSort())
asked_time = Function("asked_time", Keeper, IntSort(), IntSort())
# The durable values of a validator as time goes by.
vc_view = Function("vc_view", Keeper, IntSort(), IntSort())
high_view = Function("high_view", Keeper, IntSort(), IntSort())
high_height = Function("high_height", Keeper, IntSort(), IntSort())
# What its VIEW-CHANGE for a view carries.
claim_view = Function("claim_view", Keeper, IntSort(), IntSort())
claim_height = Function("claim_height", Keeper, IntSort(), IntSort())

a, b, c, d = (Const(name, Block) for name in "abcd")
k = Const("k", Keeper)
s, t, w = Ints("s t w")


def ranks_at_most(view_1, height_1, view_2, height_2):
    """Whether a rank, a view and then a height, is at most another."""
    return Or(view_1 < view_2, And(view_1 == view_2, height_1 <= height_2))


def comparable(one, other):
    return Or(under(one, other), under(other, one))


# What holds of blocks and of quorums, whatever validators do.
WORLD = [
    ForAll([a], under(a, a)),
    ForAll([a, b, c], Implies(And(under(a, b), under(b, c)), under(a, c))),
    ForAll([a, b, c], Implies(And(under(a, c), under(b, c)), comparable(a, b))),
    ForAll([a, b], Implies(under(a, b), And(view(a) <= view(b), height(a) <= height(b)))),
    ForAll([a, b], Implies(And(under(a, b), height(a) == height(b)), a == b)),
    # The last ancestor of an earlier view.
    ForAll([a], And(under(stand(a), a), view(stand(a)) < view(a))),
    ForAll([a, b], Implies(And(under(a, b), view(a) < view(b)), under(a, stand(b)))),
    # Two quorums share a validator that keeps the rules.
    ForAll([a, b], Implies(And(certified(a), certified(b)), Exists([k], And(prepared(k, a), prepared(k, b))))),
    ForAll([a], Implies(final(a), Exists([k], committed(k, a)))),
    # ... also the quorum behind a final block and the one behind a timeout certificate, whose best claim ranks
    # at least as high as the claim of each validator in it.
    ForAll([a, b, w], Implies(And(final(a), best(b, w)), Exists([k], And(
        committed(k, a),
        asked(k, w),
        ranks_at_most(claim_view(k, w), claim_height(k, w), view(b), height(b)),
    )))),
    # What a claim names was shown with it, and is of an earlier view.
    ForAll([b, w], Implies(best(b, w), And(certified(b), view(b) < w))),
]

RULES = {
    "R1b": ForAll([k, a, b], Implies(
        And(prepared(k, a), prepared(k, b), view(a) == view(b)), comparable(a, b))),
    "R1c": ForAll([k, a, b], Implies(
        And(prepared(k, b), under(a, b), a != b, view(a) == view(b)), Not(term_end(a)))),
    "R1d": ForAll([k, b], Implies(And(prepared(k, b), view(b) > 0), Or(
        best(stand(b), view(b)),
        And(certified(stand(b)), view(stand(b)) == view(b) - 1, term_end(stand(b)))))),
    "R2, the certificate is stored first": ForAll([k, b], Implies(committed(k, b), And(
        certified(b),
        ranks_at_most(view(b), height(b), high_view(k, commit_time(k, b)), high_height(k, commit_time(k, b)))))),
    "R2, not in a view that was left": ForAll([k, b], Implies(
        committed(k, b), vc_view(k, commit_time(k, b)) <= view(b))),
    "R3, only forward": ForAll([k, w, t], Implies(And(asked(k, w), t >= asked_time(k, w)), vc_view(k, t) >= w)),
    "R3, it carries high_qc": ForAll([k, w], Implies(asked(k, w), ranks_at_most(
        high_view(k, asked_time(k, w)), high_height(k, asked_time(k, w)), claim_view(k, w), claim_height(k, w)))),
    "R5": ForAll([k, s, t], Implies(
        s <= t, ranks_at_most(high_view(k, s), high_height(k, s), high_view(k, t), high_height(k, t)))),
}

ONE_CHAIN = ForAll([a, b], Implies(
    And(certified(a), certified(b), view(a) == view(b)), comparable(a, b)))
CARRIED = ForAll([a, b], Implies(
    And(final(a), certified(b), view(b) > view(a)), under(a, b)))

old, new, one, other = (Const(name, Block) for name in ("old", "new", "one", "other"))

# Each lemma: what it may use beside world and rules, and what would contradict it.
LEMMAS = {
    "certified blocks of one view are on one chain": (
        [],
        [certified(one), certified(other), view(one) == view(other), Not(comparable(one, other))]),
    "what is final is under every certified block of a later view (step over the views between)": (
        [ONE_CHAIN, ForAll([d], Implies(
            And(certified(d), view(d) > view(old), view(d) < view(new)), under(old, d)))],
        [final(old), view(old) >= 0, certified(new), view(new) > view(old), Not(under(old, new))]),
    "two final blocks are on one chain": (
        [ONE_CHAIN, CARRIED],
        [final(one), final(other), Not(comparable(one, other))]),
    "two final blocks at one height are one": (
        [ONE_CHAIN, CARRIED],
        [final(one), final(other), height(one) == height(other), one != other]),
}


def check(rules, uses, against, timeout_ms):
    solver = Solver()
    solver.set("timeout", timeout_ms)
    solver.add(*WORLD, *rules, *uses, *against)
    return solver.check()


def quorums():
    """For every n: two quorums share one that keeps the rules, and those alone make a quorum."""
    n = Int("n")
    f = (n - 1) / 3
    q = (n + f + 2) / 2  # ⌈(n + f + 1) / 2⌉
    solver = Solver()
    solver.set("timeout", PROOF_MS)
    solver.add(n >= 1, Not(And(2 * q - n >= f + 1, n - f >= q)))
    return solver.check()


def unproved(without=None):
    """The lemmas that do not follow."""
    rules = [rule for name, rule in RULES.items() if name != without]
    timeout_ms = SEARCH_MS if without else PROOF_MS
    return [name for name, (uses, against) in LEMMAS.items() if check(rules, uses, against, timeout_ms) != unsat]


def contradictory():
    """Whether the rules forbid final blocks in two views, and so would prove anything about them."""
    happens = [final(one), final(other), view(one) == 1, view(other) == 2, height(one) == 3, height(other) == 5]
    return check(RULES.values(), [ONE_CHAIN, CARRIED], happens, SEARCH_MS) == unsat


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", choices=sorted(RULES), help="take this rule away and say what no longer follows")
    rule = parser.parse_args().without
    if rule:
        broken = unproved(rule)
        print(f"without {rule}: " + ("; ".join(broken) if broken else "everything still follows"))
        return 0 if broken else 1
    wrong = []
    if quorums() != unsat:
        wrong.append("quorums")
    print("quorums of every size intersect" if not wrong else "quorums do not intersect")
    broken = unproved()
    for name in LEMMAS:
        print(("not proved: " if name in broken else "proved: ") + name)
    wrong += broken
    if contradictory():
        print("the rules contradict each other")
        wrong.append("consistency")
    for name in RULES:
        broken = unproved(name)
        print(f"without {name}: " + (f"{len(broken)} lemmas no longer follow" if broken else "everything still follows"))
        if not broken:
            wrong.append(name)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
