"""Judges state proofs (city/v1/state-proof) with public keys only: the log's part by software that is not ours, the
tree's part by SHA-256.

    state_proof.py --policy trust-policy.txt PROOF.state-proof.json ...

The seal leaf and its checkpoint are left to tlog_proof.py. What is done here: the place of the entry's key, the leaf of
its value or the leaf that stands in its way, and the way up to the root that the seal names.
Prints one line per file, `ok there ...`, `ok absent ...` or `refused: ...`; exits with 0 when all are ok, 1 otherwise.
"""

import argparse
import base64
import hashlib
import json
import sys

from tlog_proof import Policy, Proof, judge

EMPTY = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
KINDS = {"record": 1, "agency": 2, "member": 3, "basis": 4, "validator": 6, "epoch": 7}
SCHEMES = {"uscc": 1, "lei": 2, "register": 3, "ocid": 4}


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def text(value):
    encoded = value.encode("utf-8")
    return len(encoded).to_bytes(4, "big") + encoded


def state_key(entry):
    """The bytes of an entry's key, from its name (docs/formats.md)."""
    kind, _, name = entry.partition(":")
    key = bytes([KINDS[kind]])
    if kind in ("record", "member"):
        return key + bytes.fromhex(name)
    if kind == "agency":
        scheme, _, value = name.partition(":")
        return key + SCHEMES[scheme].to_bytes(2, "big") + text(value)
    if kind == "basis":
        basis, _, version = name.rpartition("@")
        return key + text(basis) + int(version).to_bytes(4, "big")
    return key + (text(name) if kind == "validator" else b"")


def root_of(path, place):
    """Where the path leads from a place; the bits of a place are read from its first byte on."""
    leaf = path["leaf"]
    node = EMPTY
    if leaf is not None:
        node = sha256(b"JMT::LeafNode", bytes.fromhex(leaf["place"]), bytes.fromhex(leaf["value"]))
    depth = len(path["siblings"])
    if depth > 256:
        raise ValueError("the path is longer than a place has bits")
    for sibling in map(bytes.fromhex, path["siblings"]):
        depth -= 1
        right = place[depth // 8] >> (7 - depth % 8) & 1
        node = sha256(b"JMT::IntrnalNode", *((sibling, node) if right else (node, sibling)))
    return node


def same_subtree(a, b, depth):
    shift = 256 - depth
    return int.from_bytes(a, "big") >> shift == int.from_bytes(b, "big") >> shift


def judge_state(policy, data):
    """Returns what was shown; raises ValueError with the reason otherwise."""
    proof = json.loads(data)
    if proof["schema"] != "city/v1/state-proof":
        raise ValueError("not a city/v1/state-proof")
    seal_text = proof["seal"].encode("utf-8")
    judge(policy, seal_text, None)
    seal = Proof(proof["seal"]).extra
    # Version, kind 3, height, digest of the block's header, root of the state, epoch.
    if len(seal) != 82 or seal[:2] != bytes([1, 3]):
        raise ValueError("the leaf is no seal")
    height, root = int.from_bytes(seal[2:10], "big"), seal[42:74]
    if height != proof["height"]:
        raise ValueError(f"the proof says block {proof['height']}, its seal is of block {height}")
    place = sha256(b"cityledger/state-key/1", state_key(proof["entry"]))
    leaf, value = proof["path"]["leaf"], proof["value"]
    if value is None:
        if leaf is not None:
            other = bytes.fromhex(leaf["place"])
            if other == place or not same_subtree(other, place, len(proof["path"]["siblings"])):
                raise ValueError("the leaf does not stand in the entry's way")
    else:
        held = sha256(sha256(b"cityledger/state-value/1", base64.b64decode(value, validate=True)))
        if leaf is None or bytes.fromhex(leaf["place"]) != place or bytes.fromhex(leaf["value"]) != held:
            raise ValueError("the leaf is not the entry with this value")
    if root_of(proof["path"], place) != root:
        raise ValueError("the path does not lead to the root of the state")
    return f"ok {'absent' if value is None else 'there'} {proof['entry']} after block {height}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("proofs", nargs="+")
    arguments = parser.parse_args()
    with open(arguments.policy, encoding="utf-8") as file:
        policy = Policy(file.read())
    refused = 0
    for path in arguments.proofs:
        try:
            with open(path, "rb") as file:
                print(judge_state(policy, file.read()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            refused += 1
            print(f"refused: {' '.join(str(error).split())}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
