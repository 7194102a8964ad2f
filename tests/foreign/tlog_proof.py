"""Judges .tlog-proof files with public keys only, using software that is not ours.

    tlog_proof.py --policy trust-policy.txt PROOF.tlog-proof ...

Reads the trust policy (c2sp.org/tlog-policy) and each proof (c2sp.org/tlog-proof@v1) and leaves every
hash and signature to the PyPI package aics-tlog. The leaf is the proof's extra data, or --leaf FILE.
Prints one line per file, `ok ...` or `refused: ...`; exits with 0 when all are ok, 1 otherwise, 2 when
the policy cannot be read.
"""

import argparse
import sys

from aics_tlog import parse_note, parse_vkey, verify_checkpoint, verify_leaf_inclusion
from aics_tlog.note import b64_decode

FIRST_LINE = "c2sp.org/tlog-proof@v1"


class Policy:
    """Logs, witnesses and one flat group: all that our own policies use."""

    def __init__(self, text):
        self.logs, self.witnesses, groups, self.quorum, self.counted = [], {}, {}, None, None
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log":
                self.logs.append(parse_vkey(words[1]))
            elif words[0] == "witness":
                self.witnesses[words[1]] = parse_vkey(words[2])
            elif words[0] == "group":
                groups[words[1]] = (int(words[2]), [self.witnesses[name] for name in words[3:]])
            elif words[0] == "quorum":
                self.quorum, self.counted = groups[words[1]]
            else:
                raise ValueError(f"unknown policy line {words[0]!r}")
        if not self.logs or self.quorum is None:
            raise ValueError("the policy needs a log and a quorum")


class Proof:
    """The text form: first line, optional extra, index, hashes, empty line, checkpoint."""

    def __init__(self, text):
        head, separator, self.checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or lines.pop(0) != FIRST_LINE:
            raise ValueError(f"not a {FIRST_LINE} file")
        self.extra = None
        if lines and lines[0].startswith("extra "):
            self.extra = b64_decode(lines.pop(0)[len("extra "):])
        if not lines or not lines[0].startswith("index "):
            raise ValueError("no index line")
        number = lines.pop(0)[len("index "):]
        if not (number.isascii() and number.isdigit()) or str(int(number)) != number:
            raise ValueError(f"index {number!r} is no plain decimal")
        self.index = int(number)
        self.hashes = [b64_decode(line) for line in lines]


def checkpoint(policy, text):
    """What a cosigned checkpoint says; raises ValueError when the policy is not met."""
    note = parse_note(text)
    # Any one of the listed logs may have answered; the last error names the reason when none did.
    for log in policy.logs:
        result = verify_checkpoint(note, log, policy.counted, policy.quorum, expected_origin=log.name)
        if result.ok or result.log_ok:
            break
    if not result.ok:
        raise ValueError(f"checkpoint: {result.error}")
    return result


def judge(policy, data, leaf):
    """Returns what was proved; raises ValueError with the reason otherwise."""
    proof = Proof(data.decode("utf-8"))
    leaf = proof.extra if leaf is None else leaf
    if leaf is None:
        raise ValueError("the proof carries no leaf and none was given")
    result = checkpoint(policy, proof.checkpoint)
    if proof.index >= result.size:
        raise ValueError(f"index {proof.index} is not below {result.size}")
    if not verify_leaf_inclusion(leaf, proof.index, result.size, proof.hashes, result.root):
        raise ValueError("the leaf does not lead to the root")
    return f"ok index {proof.index} of {result.size}, cosigned by {', '.join(result.witnesses)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("--leaf", help="file with the leaf's bytes, in place of the proof's extra data")
    parser.add_argument("proofs", nargs="+")
    arguments = parser.parse_args()
    try:
        with open(arguments.policy, encoding="utf-8") as file:
            policy = Policy(file.read())
        leaf = open(arguments.leaf, "rb").read() if arguments.leaf else None
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"policy: {error}", file=sys.stderr)
        return 2
    refused = 0
    for path in arguments.proofs:
        try:
            with open(path, "rb") as file:
                print(judge(policy, file.read(), leaf))
        except (OSError, ValueError) as error:
            refused += 1
            reason = " ".join(str(error).split())
            print(f"refused: {reason}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
