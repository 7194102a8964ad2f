"""Judges receipts in COSE (RFC 9942) with public keys only, using software that is not ours.

    cose_receipt.py --policy trust-policy.txt RECEIPT.receipt.cbor ...

The PyPI packages cbor2 and cwt read the messages and verify their signatures; the keys come from the trust policy
(c2sp.org/tlog-policy). A file is an array of the leaf and of one COSE_Sign1 for each validator, whose detached payload
is the root that leaf and path lead to (RFC 9162 section 2.1.3.2). Prints one line per file, `ok ...` or `refused: ...`;
exits with 0 when all are ok, 1 otherwise.
"""

import argparse
import sys

import cbor2
from aics_tlog import leaf_hash, node_hash
from cwt import COSE, COSEKey

from tlog_proof import Policy

ALG, KID, CLAIMS, VDS, VDP = 1, 4, 15, 395, 396
ISSUER, SUBJECT, ISSUED_AT, SIZE = 1, 2, 6, "tree_size"
EDDSA, RFC9162_SHA256, INCLUSION = -8, 1, -1


def root_of(leaf, size, index, path):
    """The root that a leaf leads to."""
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not below {size}")
    at, last, digest = index, size - 1, leaf_hash(leaf)
    for sibling in path:
        if last == 0:
            raise ValueError("the path is too long")
        if at & 1 or at == last:
            digest = node_hash(sibling, digest)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return digest


def message(policy, leaf, data):
    """Signer, time, log and place that one message proves; raises ValueError otherwise."""
    tagged = cbor2.loads(data)
    protected, unprotected, payload, _ = tagged.value
    header = cbor2.loads(protected)
    if tagged.tag != 18 or payload is not None or header[ALG] != EDDSA or header[VDS] != RFC9162_SHA256:
        raise ValueError("no receipt over RFC9162_SHA256 signed with EdDSA")
    claims = header[CLAIMS]
    [proof] = unprotected[VDP][INCLUSION]
    size, index, path = cbor2.loads(proof)
    if claims[SIZE] != size:
        raise ValueError("the path is for another size than the signed one")
    witness = policy.witnesses.get(claims[ISSUER])
    if witness is None or header[KID] != bytes(witness.key_id):
        raise ValueError(f"{claims[ISSUER]} is not known")
    root = root_of(leaf, size, index, path)
    key = COSEKey.new({1: 1, -1: 6, -2: bytes(witness.public_key), 3: EDDSA, 2: header[KID]})
    COSE.new().decode(data, key, detached_payload=root)
    return claims[ISSUER], claims[ISSUED_AT], claims[SUBJECT], (index, size, root)


def judge(policy, data):
    """What a file proves; raises ValueError with the reason otherwise."""
    leaf, messages = cbor2.loads(data)
    proved = [message(policy, leaf, one) for one in messages]
    signers = {signer for signer, *_ in proved} & {key.name for key in policy.counted}
    if len(signers) != len(proved) or len(signers) < policy.quorum:
        raise ValueError(f"quorum not met: {len(signers)} of {policy.quorum}")
    [(log, (index, size, root))] = {(log, place) for _, _, log, place in proved}
    if log != policy.logs[0].name:
        raise ValueError(f"{log} is not the trusted log")
    names = ", ".join(signer for signer, *_ in proved)
    return f"ok leaf {leaf_hash(leaf).hex()} index {index} of {size} root {root.hex()}, signed by {names}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("receipts", nargs="+")
    arguments = parser.parse_args()
    with open(arguments.policy, encoding="utf-8") as file:
        policy = Policy(file.read())
    refused = 0
    for path in arguments.receipts:
        try:
            with open(path, "rb") as file:
                print(judge(policy, file.read()))
        # Whatever malformed bytes make of the reading software: not ok.
        except Exception as error:
            refused += 1
            print(f"refused: {type(error).__name__}: {' '.join(str(error).split())}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
