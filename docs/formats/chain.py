"""Replays an exported chain from its genesis: `city export chain` wrote the blocks, `city export tiles` the record log.

usage: chain.py CHAIN_ID CHAIN_FILE MIRROR_FOLDER    (the mirror not older than the file)

Every signature, hash, certificate and root is checked, and that the log holds a leaf for every accepted operation and no
other. What the rules of records make of an operation is not: the outcomes and the roots of the state are taken from the
quorum that certified them. Python and nothing else.
"""
import base64
import json
import pathlib
import sys

from ed25519 import signed
from rfc6962 import Tree
from tlog_proof import need, sha

DOMAIN = b"CITYLEDGER-V1"
CLOSING, SUFFIX = 2, 16
SIGNED, SEAL, GENESIS, EVIDENCE, ERASURE = 1, 3, 4, 5, 7


def num(value, size):
    return value.to_bytes(size, "big")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, size):
        self.at += size
        need(self.at <= len(self.data), "bytes are missing")
        return self.data[self.at - size:self.at]

    def num(self, size):
        return int.from_bytes(self.raw(size), "big")

    def text(self):
        return self.raw(self.num(4))


class Header:
    def __init__(self, data):
        r = Reader(data)
        need(r.num(2) == 1, "a header of an unknown version")
        self.chain, self.epoch, self.view, self.height = r.raw(32), r.num(8), r.num(8), r.num(8)
        self.parent, self.proposer, self.time, self.flags = r.raw(32), r.num(2), r.num(8), r.num(1)
        self.lanes, self.batches, self.counts = r.raw(32), r.raw(32), (r.num(4), r.num(4), r.num(4))
        self.exec, self.history = (r.num(8), r.raw(32)), r.raw(32)
        self.set, self.next = r.raw(32), r.raw(32)
        need(r.at == len(data), "bytes after a header")
        self.digest = sha(b"CL/hdr/1", data)

    def slot(self, kind):
        place = num(self.epoch, 8) + num(self.view, 8) + num(self.height, 8)
        return DOMAIN + num(kind, 1) + self.chain + place + self.digest


class Set:
    """Validators of an epoch: name, agency, three keys, leave to lead."""

    def __init__(self, epoch, validators, base):
        self.epoch, self.validators, self.base = epoch, validators, base
        layout = num(epoch, 8) + num(len(validators), 4)
        for name, agency, *keys, leads in validators:
            layout += b"".join(num(len(text), 4) + text for text in (name, agency)) + b"".join(keys) + num(leads, 1)
        self.hash = sha(b"CL/validators/2", layout)
        count = len(validators)
        faults = (count - 1) // 3
        self.keys, self.quorum = [one[2] for one in validators], (count + faults + 2) // 2
        leaders = [at for at, one in enumerate(validators) if one[5]]
        self.leaders = leaders if len(leaders) > 2 * faults else list(range(count))

    def leader(self, view):
        turns = len(self.leaders)
        return self.leaders[(int.from_bytes(self.base[:8], "big") % turns + view % turns) % turns]


def genesis_set(data):
    r = Reader(data)
    need(r.text().startswith(b"city/genesis/"), "no genesis")
    r.text(), r.raw(2), r.text(), r.raw(2)
    r.raw(8 * r.num(4)), r.raw(2)
    validators = []
    for _ in range(r.num(4)):
        validators.append((r.text(), r.text(), r.raw(32), r.raw(32), r.raw(32), 1))
        r.text(), r.raw(3 * 64)
    return Set(0, validators, sha(b"CL/genesis/1", data))


def certified(certificate, header, validators):
    """A COMMIT certificate of a quorum over a header."""
    place = certificate["epoch"], certificate["view"], certificate["height"], bytes.fromhex(certificate["digest"])
    need(place == (header.epoch, header.view, header.height, header.digest), "a certificate of another block")
    bits = certificate["bitmap"]
    signers = [at for at in range(8 * len(bits)) if bits[at // 8] >> at % 8 & 1]
    need(len(signers) == len(certificate["signatures"]) >= validators.quorum, "a certificate of too few")
    for at, signature in zip(signers, certificate["signatures"]):
        holds = signed(validators.keys[at], header.slot(3), bytes.fromhex(signature))
        need(holds, f"the COMMIT of validator {at} does not hold")


class Transaction:
    def __init__(self, chain, item):
        data = base64.b64decode(item["transaction"], validate=True)
        r = Reader(data)
        need(r.num(2) == 1 and r.raw(32) == chain, "a transaction of another chain")
        self.author = r.raw(32)
        r.raw(9)
        self.operations = [r.text() for _ in range(r.num(4))]
        need(r.at == len(data), "bytes after a transaction")
        self.id = sha(b"CL/tx/1", data)
        self.holds = signed(self.author, DOMAIN + b"\6" + chain + self.id, bytes.fromhex(item["signature"]))


class Chain:
    def __init__(self, genesis, state, leaves):
        self.set, self.next = genesis_set(genesis), None
        self.id = self.last = self.set.base
        self.height, self.time, self.final = 0, 0, 0
        self.history, self.lanes, self.log, self.leaves = Tree(), {}, Tree(), leaves
        self.roots, self.executed, self.accepted = [], 0, 0
        self.take_leaves(0, None, {})
        # What is said of the state at height 0 stands under every execution root that a quorum signed.
        self.execute(Tree().root(), state)

    def batches(self, block, header):
        """The transactions of a block, each in the lane of its author and signed."""
        advances, digests, found, size = block["advances"], [], [], 0
        need([one[0] for one in advances] == sorted({one[0] for one in advances}), "lanes out of order")
        tree = Tree(num(author, 2) + num(seq, 8) + bytes.fromhex(tip) for author, seq, tip in advances)
        need(tree.root() == header.lanes, "other lanes than those signed")
        batches = iter(block["batches"])
        for author, seq, tip in advances:
            at, before = self.lanes.get(author, (-1, bytes(32)))
            need(seq > at, "a lane that goes back")
            while at < seq:
                batch = next(batches, None)
                need(batch, "a batch is missing")
                data = base64.b64decode(batch["header"], validate=True)
                at, digest, r = at + 1, sha(b"CL/batch/1", data), Reader(data)
                place = self.id + num(header.epoch, 8) + num(author, 2) + num(at, 8)
                need(r.raw(50) == place and r.raw(32) == before, "a batch of another place")
                message = DOMAIN + b"\5" + place + digest
                holds = signed(self.set.keys[author], message, bytes.fromhex(batch["signature"]))
                need(holds, "an author's signature does not hold")
                root, bytes_, count = r.raw(32), r.num(4), r.num(4)
                transactions = [Transaction(self.id, one) for one in batch["transactions"]]
                need(Tree(one.id for one in transactions).root() == root, "other transactions than those signed")
                need(sum(len(one.operations) for one in transactions) == count, "a wrong number of operations")
                found, size, before = found + transactions, size + bytes_, digest
                digests.append(digest)
            need(before == bytes.fromhex(tip), "a lane with another tip")
            self.lanes[author] = seq, before
        need(next(batches, None) is None, "a batch that no lane names")
        need(Tree(digests).root() == header.batches, "other batches than those signed")
        count = sum(len(one.operations) for one in found)
        need(header.counts == (len(digests), count, size), "wrong counts")
        return found

    def outcomes(self, block, transactions):
        """The root of what the operations came to, and which leaf each accepted one must have."""
        outcomes = [base64.b64decode(one, validate=True) for one in block["outcomes"]]
        operations = [(one, at) for one in transactions for at in range(len(one.operations))]
        need(len(outcomes) == len(operations), "not one outcome for each operation")
        wanted = {}
        for (one, at), outcome in zip(operations, outcomes):
            need(outcome[:34] == one.id + num(at, 2), "an outcome of another operation")
            need(one.holds or outcome[34] == 0, "accepted under a signature that does not hold")
            if outcome[34] == 1 and outcome[-1] == 0:
                wanted[int.from_bytes(outcome[71:79], "big")] = one, at
        return Tree(outcomes).root(), wanted

    def take_leaves(self, height, header, wanted):
        """Appends a block's leaves to the log; gives the root of the state after it, if it left any."""
        start, state, found = self.log.size, None, 0
        while self.log.size < len(self.leaves):
            index = self.log.size
            leaf = self.leaves[index]
            kind = leaf[1]
            if (0 if kind == GENESIS else int.from_bytes(leaf[2:10], "big")) != height:
                break
            need(leaf[0] == 1 and state is None, "a leaf after the seal of its block")
            if kind == SEAL:
                need(header is None or leaf[10:42] == header.digest, f"the seal of block {height} is of another block")
                state = leaf[42:74]
            elif height:
                need(int.from_bytes(leaf[10:18], "big") == header.time, f"leaf {index} has another date than its block")
            if kind in (SIGNED, EVIDENCE, ERASURE):
                need(index in wanted, f"no accepted operation led to leaf {index}")
                one, at = wanted[index]
                need(leaf[18:50] == one.id, f"leaf {index} is of another transaction")
                need(kind == EVIDENCE or leaf[50:52] == num(at, 2), f"leaf {index} is of another operation")
                same = leaf[52:84] == one.author and leaf.endswith(one.operations[at])
                need(kind != SIGNED or same, f"leaf {index} says something else than was signed")
                found += 1
            self.log.add(leaf)
        covered = self.log.size > start or self.log.size < len(self.leaves)
        need(found == len(wanted) or not covered, f"{len(wanted)} operations were accepted, the log has {found}")
        need(not height or self.log.size == start or state, f"the leaves of block {height} have no seal")
        self.accepted += found
        return state

    def execute(self, outcomes, state):
        """The execution root of a height: it names the one below, so that a quorum that signs one signs all."""
        self.state = state
        before, log = self.roots[-1] if self.roots else bytes(32), num(self.log.size, 8) + self.log.root()
        self.roots.append(sha(b"CL/exec/2", num(self.height, 8), before, log, outcomes, state))

    def take(self, block):
        header = Header(base64.b64decode(block["header"], validate=True))
        if self.next is not None:
            self.set, self.next, self.lanes = self.next, None, {}
        need(header.chain == self.id and header.height == self.height + 1, "a block is missing")
        need(header.parent == self.last, "a block on another parent")
        need(header.epoch == self.set.epoch and header.set == self.set.hash, "other validators than those agreed on")
        need(header.time >= self.time, "time goes back")
        need(header.proposer == self.set.leader(header.view), "proposed by one that does not lead")
        holds = signed(self.set.keys[header.proposer], header.slot(1), bytes.fromhex(block["signature"]))
        need(holds, "the leader's signature does not hold")
        need(header.history == self.history.root(), "other earlier blocks")
        outcomes, wanted = self.outcomes(block, self.batches(block, header))
        self.history.add(header.digest)
        self.height, self.last, self.time = header.height, header.digest, header.time
        state = self.take_leaves(self.height, header, wanted)
        # A block that leaves nothing in the log leaves the state as it was.
        self.execute(outcomes, state or self.state)
        height, root = header.exec
        need(height < self.height, f"a block that says what height {height} came to")
        if height:
            fits = self.roots[height] == root
            need(fits, f"block {height} or one below came to something else, or the mirror is older")
            self.executed = height
        top = header
        for data in block["suffixes"]:
            suffix = Header(base64.b64decode(data, validate=True))
            need(suffix.flags & SUFFIX and suffix.parent == top.digest, "a Suffix of another block")
            top = suffix
        if block["certificate"]:
            certified(block["certificate"], top, self.set)
            self.final = self.height
        if header.flags & CLOSING:
            need(self.final == self.height, "an epoch's end that no quorum certified")
            validators = [(*map(str.encode, one[:2]), *map(bytes.fromhex, one[2:5]), one[5]) for one in block["next"]]
            self.next = Set(self.set.epoch + 1, validators, header.digest)
            need(self.next.hash == header.next, "other next validators than those signed")


def leaves_of(mirror):
    """The leaves of a C2SP tlog-tiles directory, held against its checkpoint."""
    _, size, root = (mirror / "checkpoint").read_text().split("\n")[:3]
    leaves, at = [], 0
    while len(leaves) < int(size):
        folders = [f"x{at // 1000 ** power % 1000:03}/" for power in (2, 1) if at >= 1000 ** power]
        width = min(256, int(size) - len(leaves))
        path = mirror / "tile/entries" / "".join([*folders, f"{at % 1000:03}", f".p/{width}" if width < 256 else ""])
        r = Reader(path.read_bytes())
        leaves += [r.raw(r.num(2)) for _ in range(width)]
        at += 1
    need(Tree(leaves).root() == base64.b64decode(root), "the mirror is not that of its checkpoint")
    return leaves


def replay(chain_id, lines, leaves):
    first = json.loads(next(lines))
    chain = Chain(base64.b64decode(first["genesis"], validate=True), bytes.fromhex(first["state_root"]), leaves)
    need(chain.id.hex() == chain_id, f"the genesis is that of chain {chain.id.hex()}")
    for line in lines:
        block, height = json.loads(line), chain.height + 1
        try:
            chain.take(block)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"block {height}: {error}") from error
    need(chain.executed, "no quorum certified any execution")
    return chain


def main():
    try:
        chain_id, blocks, mirror = sys.argv[1:]
        with open(blocks, encoding="utf-8") as lines:
            chain = replay(chain_id, lines, leaves_of(pathlib.Path(mirror)))
    except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        print(f"refused: {error}")
        return 1
    print(f"holds: {chain.height} blocks in {chain.set.epoch + 1} epochs, certified to {chain.final},"
          f" executed as certified to {chain.executed}")
    print(f"the log has {chain.log.size} leaves, {chain.accepted} of accepted operations; its root is {chain.log.root().hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
