#!/usr/bin/env python3
"""Checks that a list of an organisation's published records leaves nothing out (city/v1/subject-proof).

    complete.py TRUST-POLICY.txt PROOF.subject-proof.json ...

Needs Python 3.8, the two files beside it, and nothing else: all three were written from docs/formats.md and share no code
with City Ledger. The trust policy is a C2SP tlog-policy with the validators' keys. Prints the records, or why the proof
shows nothing; exits with 0 when every proof holds, else 1.
"""
import base64
import json
import sys

from ed25519 import vrf_output
from tlog_proof import leaf_of, need, sha

EMPTY = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
SCHEMES = {"uscc": 1, "lei": 2, "register": 3, "ocid": 4}


def bit(place, at):
    return place[at // 8] >> 7 - at % 8 & 1


def entry_of(place, value):
    return sha(b"JMT::LeafNode", place, sha(value))


def inner(left, right):
    return sha(b"JMT::IntrnalNode", left, right)


def climb(node, place, siblings):
    for depth in reversed(range(len(siblings))):
        sibling = bytes.fromhex(siblings[len(siblings) - 1 - depth])
        node = inner(sibling, node) if bit(place, depth) else inner(node, sibling)
    return node


def subtree(leaves, depth):
    """The node at a depth above exactly these leaves, pairs of place and hash."""
    if len(leaves) < 2:
        return leaves[0][1] if leaves else EMPTY
    return inner(*(subtree([leaf for leaf in leaves if bit(leaf[0], depth) == side], depth + 1) for side in (0, 1)))


def check(policy, proof):
    need(proof["schema"] == "city/v1/subject-proof", "no city/v1/subject-proof")
    seal = leaf_of(policy, proof["seal"])
    need(len(seal) == 82 and seal[:2] == b"\1\3", "the leaf is no seal")
    need(int.from_bytes(seal[2:10], "big") == proof["height"], "the seal is of another block")
    # The index stands in the state under the key 0a: public key, number of changes, root.
    index, place = base64.b64decode(proof["index"], validate=True), sha(b"cityledger/state-key/1", b"\x0a")
    entry = entry_of(place, sha(b"cityledger/state-value/1", index))
    need(climb(entry, place, proof["index_path"]["siblings"]) == seal[42:74] and len(index) == 72, "no such index")
    # The organisation's tag.
    scheme, _, value = proof["subject"].partition(":")
    name, value = b"cityledger/subject-tag/1", value.encode()
    text = len(name).to_bytes(4, "big") + name + bytes.fromhex(proof["chain_id"])
    text += SCHEMES[scheme].to_bytes(2, "big") + len(value).to_bytes(4, "big") + value
    tag = vrf_output(index[:32], text, bytes.fromhex(proof["vrf"]))[:32]
    # Its records, and the one subtree in which they all stand.
    leaves, start = [], tag[:10] + bytes(22)
    records = [one["record"] for one in proof["records"]]
    need(records == sorted(set(records)), "the records are not in order, each once")
    for one in proof["records"]:
        said = tag + bytes.fromhex(one["record"]) + (bytes.fromhex(one["salt"]) if one["salt"] else bytes(32))
        place = tag[:10] + sha(b"cityledger/subject-place/1", said)[10:]
        leaves.append((place, entry_of(place, sha(b"cityledger/subject-entry/1", said))))
    depth, other = len(proof["path"]["siblings"]), proof["path"]["leaf"]
    need(depth <= 80 and (len(leaves) < 2 or depth == 80), "the path begins inside the organisation's subtree")
    node = subtree(leaves, depth)
    if other is not None:
        need(not leaves, "a leaf beside the records")
        place = bytes.fromhex(other["place"])
        need(place[:10] != tag[:10] and all(bit(place, at) == bit(start, at) for at in range(depth)), "no leaf in its way")
        node = sha(b"JMT::LeafNode", place, bytes.fromhex(other["value"]))
    need(climb(node, start, proof["path"]["siblings"]) == index[40:], "these are not all of the organisation's records")
    return records


def main():
    failed = 0
    with open(sys.argv[1], encoding="utf-8") as file:
        policy = file.read()
    for path in sys.argv[2:]:
        try:
            with open(path, encoding="utf-8") as file:
                proof = json.load(file)
            records = check(policy, proof)
            print(f"complete: {len(records)} of {proof['subject']} after block {proof['height']}", *records)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            failed += 1
            print(f"refused: {error}")
    return 1 if failed or len(sys.argv) < 3 else 0


if __name__ == "__main__":
    sys.exit(main())
