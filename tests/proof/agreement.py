"""Why two blocks at one height cannot both become final: the rules of docs/protocol.md, section 4, given to Z3.

The proof is by induction over views. Blocks form a tree; validators that keep the rules are a sort of their own, and
all that is assumed of the others is what a quorum leaves them: any two quorums share a validator that keeps the rules.
Each lemma is proved from the rules and the lemmas before it. Then each rule is taken away once, and a small world of
a few blocks and validators must be found where all the others hold and two rival blocks are final: without it the
rule would be idle, and the proof would not be about this protocol.

The second part is about the end of an epoch (section 9): closing blocks, and the Suffixes that make one final across
a change of view.

    python agreement.py            # proves, then takes each rule away
    python agreement.py --without R1b

Exit code 0 when everything is as expected.
"""

import argparse
import itertools
import sys

from z3 import (
    And, BoolSort, Const, Consts, DeclareSort, Distinct, Exists, ForAll, Function, Implies, Int, Ints, IntSort,
    IntVal, Not, Or, Solver, is_app, is_quantifier, sat, substitute_vars, unsat,
)

# A proof takes a fraction of a second, a small world two at most; this is for a busy machine.
SEARCH_MS = 120_000
# Blocks of a small world, the epoch's base among them.
BLOCKS_MAX = 4

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
    # The last ancestor of an earlier view. Views of the epoch begin at 0; its base and what is below come before.
    ForAll([a], Implies(view(a) >= 0, And(under(stand(a), a), view(stand(a)) < view(a)))),
    ForAll([a, b], Implies(And(under(a, b), view(a) < view(b), view(b) >= 0), under(a, stand(b)))),
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


# The end of an epoch. A closing block, a block that ends its term and a Suffix are three kinds of block.
closing = Function("closing", Block, BoolSort())
suffix = Function("suffix", Block, BoolSort())
closer = Function("closer", Block, Block)  # the closing block that a Suffix names


def closes_below(one, other):
    """Whether the first is a closing block of this epoch and a strict ancestor of the second."""
    return And(closing(one), view(one) >= 0, under(one, other), one != other)


def looked_at(one, last):
    """M1: whoever prepares the second has looked at the first: no certified block lies between."""
    return And(under(one, last), view(one) >= 0, Not(Exists([d], And(
        certified(d), view(d) >= 0, under(one, d), under(d, last), d != last))))


END_RULES = {
    "V, only a Suffix above a closing block": ForAll([k, a, b, c], Implies(
        And(prepared(k, b), looked_at(a, b), closes_below(c, a)), suffix(a))),
    "V, a Suffix has a closing ancestor": ForAll([k, a, b], Implies(
        And(prepared(k, b), looked_at(a, b), suffix(a)), closes_below(closer(a), a))),
    "V, no block is closing and a Suffix": ForAll([k, a, b], Implies(
        And(prepared(k, b), looked_at(a, b)), Not(And(suffix(a), closing(a))))),
    "R2, only what is certified": ForAll([k, b], Implies(committed(k, b), certified(b))),
    "agreement": ForAll([a, b], Implies(And(final(a), final(b)), comparable(a, b))),
}


def placed(one):
    """What V says of a block's place in its epoch."""
    return And(
        ForAll([c], Implies(closes_below(c, one), suffix(one))),
        Implies(suffix(one), And(closes_below(closer(one), one), Not(closing(one)))))


ALL_PLACED = ForAll([a, b], Implies(And(certified(b), under(a, b), view(a) >= 0), placed(a)))
end, rival, top, leaf = (Const(name, Block) for name in ("end", "rival", "top", "leaf"))

# Final is what has a commit certificate; of it and its ancestors, those that are no Suffix are the ledger.
END_LEMMAS = {
    "below what is certified, everything has its place in the epoch (step over the heights)": (
        [ForAll([a, d], Implies(
            And(certified(d), height(d) < height(top), under(a, d), view(a) >= 0), placed(a)))],
        [certified(top), under(one, top), view(one) >= 0, Not(placed(one))]),
    "an epoch closes with one block": (
        [ALL_PLACED],
        [final(top), final(leaf), under(end, top), under(rival, leaf), closing(end), closing(rival),
         view(end) >= 0, view(rival) >= 0, end != rival]),
    "a final Suffix makes a closing block final": (
        [ALL_PLACED],
        [final(top), suffix(top), view(top) >= 0,
         Not(And(closing(closer(top)), under(closer(top), top), Not(suffix(closer(top)))))]),
    "the ledger of an epoch ends with its closing block": (
        [ALL_PLACED],
        [final(top), final(leaf), under(end, top), closing(end), view(end) >= 0,
         under(one, leaf), view(one) >= 0, Not(suffix(one)), Not(under(one, end))]),
}

# What must not be: two rival final blocks, and an epoch that ends in two ways, or in none.
FORK = [final(one), final(other), view(one) >= 0, view(other) >= 0, Not(comparable(one, other))]
TORN = Or(*(And(*END_LEMMAS[name][1]) for name in list(END_LEMMAS)[1:]))


def check(rules, uses, against, timeout_ms):
    solver = Solver()
    solver.set("timeout", timeout_ms)
    solver.add(*WORLD, *rules, *uses, *against)
    return solver.check()


def spell_out(formula, things):
    """The formula without quantifiers, over the things there are of each sort."""
    if is_quantifier(formula):
        sorts = [formula.var_sort(at) for at in range(formula.num_vars())]
        cases = itertools.product(*(things[sort] for sort in sorts))
        parts = [spell_out(substitute_vars(formula.body(), *reversed(case)), things) for case in cases]
        return And(*parts) if formula.is_forall() else Or(*parts)
    if is_app(formula) and formula.num_args():
        return formula.decl()(*(spell_out(part, things) for part in formula.children()))
    return formula


def small_world(formulas, blocks, keepers):
    """Whether everything holds in some world of so many blocks, validators that keep the rules, and moments."""
    bs = Consts(" ".join(f"b{at}" for at in range(blocks)), Block)
    ks = Consts(" ".join(f"k{at}" for at in range(keepers)), Keeper)
    moments = [IntVal(at) for at in range(4)]
    things = {Block: bs, Keeper: ks, IntSort(): moments}
    solver = Solver()
    solver.set("timeout", SEARCH_MS)
    solver.add(Distinct(*bs), Distinct(*ks))
    solver.add(*(spell_out(formula, things) for formula in formulas))
    # No thing beside these is spoken of, and no moment or view beside those quantified over.
    for thing in [one, other, end, rival, top, leaf, *(closer(it) for it in bs)]:
        solver.add(Or(*(thing == it for it in bs)))
    for it in bs:
        solver.add(view(it) >= -1, view(it) < len(moments), Implies(view(it) >= 0, Or(*(stand(it) == x for x in bs))))
        for who in ks:
            solver.add(commit_time(who, it) >= 0, commit_time(who, it) < len(moments))
    for who in ks:
        for at in moments:
            solver.add(asked_time(who, at) >= 0, asked_time(who, at) < len(moments))
    return solver.check()


def quorums():
    """For every n: two quorums share one that keeps the rules, and those alone make a quorum."""
    n = Int("n")
    f = (n - 1) / 3
    q = (n + f + 2) / 2  # ⌈(n + f + 1) / 2⌉
    solver = Solver()
    solver.set("timeout", SEARCH_MS)
    solver.add(n >= 1, Not(And(2 * q - n >= f + 1, n - f >= q)))
    return solver.check()


def unproved(rules, lemmas):
    """The lemmas that do not follow."""
    return [name for name, (uses, against) in lemmas.items() if check(rules, uses, against, SEARCH_MS) != unsat]


def without(name):
    """A small world that goes wrong once the rule is taken away: how many blocks it has, or None."""
    rules, bad = (RULES, FORK) if name in RULES else (END_RULES, [TORN])
    left = [rule for one_name, rule in rules.items() if one_name != name]
    for blocks in range(3, BLOCKS_MAX + 1):
        if small_world([*WORLD, *left, *bad], blocks, 3) == sat:
            return blocks
    return None


def contradictory():
    """Whether the rules forbid final blocks in two views, and so would prove anything about them."""
    happens = [final(one), final(other), view(one) == 1, view(other) == 2, height(one) < height(other),
               closing(end), under(end, one), suffix(other), view(end) == 1]
    rules = [*RULES.values(), *END_RULES.values()]
    return small_world([*WORLD, *rules, *happens], 4, 3) != sat


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*RULES, *END_RULES]
    parser.add_argument("--without", choices=sorted(names), help="take this rule away and look for what goes wrong")
    rule = parser.parse_args().without
    if rule:
        names = [rule]
    wrong = []
    if not rule:
        if quorums() != unsat:
            wrong.append("quorums")
        print("quorums of every size intersect" if not wrong else "quorums do not intersect")
        for rules, lemmas in ((RULES, LEMMAS), (END_RULES, END_LEMMAS)):
            broken = unproved(rules.values(), lemmas)
            for name in lemmas:
                print(("not proved: " if name in broken else "proved: ") + name)
            wrong += broken
        if contradictory():
            print("the rules contradict each other")
            wrong.append("consistency")
        # The search that finds what goes wrong without a rule finds nothing with all of them.
        for rules, bad in ((RULES, FORK), (END_RULES, [TORN])):
            if small_world([*WORLD, *rules.values(), *bad], BLOCKS_MAX, 3) != unsat:
                print("a small world goes wrong with all rules")
                wrong.append("small worlds")
    for name in names:
        blocks = without(name)
        print(f"without {name}: " + (f"goes wrong with {blocks} blocks" if blocks else "nothing was found to go wrong"))
        if not blocks:
            wrong.append(name)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
