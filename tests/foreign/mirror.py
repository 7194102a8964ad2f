"""Audits a mirror of the record log with software that is not ours (PyPI aics-tlog).

    mirror.py --policy trust-policy.txt DIRECTORY

The checkpoint must be cosigned as the policy says; every tile and every entry must lead to its root. Prints one line,
`ok ...` or `refused: ...`, and exits with 0 or 1.
"""

import argparse
import pathlib
import sys

from aics_tlog import FileSystemTileReader, audit_tiles, parse_note, verify_checkpoint

from tlog_proof import Policy


def audit(policy, directory):
    note = parse_note((directory / "checkpoint").read_text(encoding="utf-8"))
    for log in policy.logs:
        result = verify_checkpoint(note, log, policy.counted, policy.quorum, expected_origin=log.name)
        if result.ok or result.log_ok:
            break
    if not result.ok:
        raise ValueError(f"checkpoint: {result.error}")
    report = audit_tiles(FileSystemTileReader(directory), result.size, result.root)
    return f"ok {result.size} leaves, cosigned by {', '.join(result.witnesses)}; {report}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    policy = Policy(arguments.policy and open(arguments.policy, encoding="utf-8").read())
    try:
        print(audit(policy, arguments.directory))
    except (OSError, ValueError, LookupError) as error:
        print(f"refused: {' '.join(str(error).split())}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
