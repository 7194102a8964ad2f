"""Verifies a C2SP tlog-proof with a C2SP tlog-policy: a leaf of the record log that a quorum of validators vouches for.

Python and nothing else.
"""
import base64
import hashlib

from ed25519 import signed


def need(holds, why):
    if not holds:
        raise ValueError(why)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def verifier(line):
    name, _, rest = line.partition("+")
    raw = base64.b64decode(rest.partition("+")[2], validate=True)
    return name, sha(name.encode(), b"\n", raw)[:4], raw[0], raw[1:]


def leaf_of(policy, text):
    """The leaf of a tlog-proof that a quorum of the policy's witnesses vouches for."""
    words = [line.split() for line in policy.split("\n") if line.strip() and not line.startswith("#")]
    logs = [verifier(line[1]) for line in words if line[0] == "log"]
    witnesses = {line[1]: verifier(line[2]) for line in words if line[0] == "witness"}
    [group] = [line for line in words if line[0] == "group"]
    need(["quorum", group[1]] in words, "the policy names no quorum")
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    need(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1][:6] == "extra " and lines[2][:6] == "index ", "no tlog-proof")
    leaf, index = base64.b64decode(lines[1][6:], validate=True), int(lines[2][6:])
    body, _, signatures = note.partition("\n\n")
    body += "\n"
    origin, size, root = body.rstrip("\n").split("\n")
    need(any(origin == log[0] for log in logs), "a checkpoint of another log")
    ours, cosigned = False, set()
    for line in signatures.rstrip("\n").split("\n"):
        dash, name, data = line.split(" ")
        need(dash == "\u2014", "no signature line")
        data = base64.b64decode(data, validate=True)
        ours |= any((name, data[:4]) == log[:2] and signed(log[3], body.encode(), data[4:]) for log in logs)
        for member in group[3:]:
            key = witnesses[member]
            if (name, data[:4]) == key[:2]:
                time = int.from_bytes(data[4:12], "big")
                message = f"cosignature/v1\ntime {time}\n{body}".encode()
                need(signed(key[3], message, data[12:]), f"the cosignature of {name} does not hold")
                cosigned.add(member)
    need(ours and len(cosigned) >= int(group[2]), f"{len(cosigned)} of {group[2]} validators have cosigned")
    node, at, last = sha(b"\0", leaf), index, int(size) - 1
    need(0 <= index <= last, "the index is beyond the log")
    # RFC 9162, 2.1.3.2.
    for sibling in (base64.b64decode(line, validate=True) for line in lines[3:]):
        need(last > 0, "the path is too long")
        if at & 1 or at == last:
            node = sha(b"\1", sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha(b"\1", node, sibling)
        at, last = at >> 1, last >> 1
    need(last == 0 and node == base64.b64decode(root, validate=True), "the leaf does not lead to the log's root")
    return leaf
