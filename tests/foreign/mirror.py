"""Audits a mirror of the record log with software that is not ours (PyPI aics-tlog).

    mirror.py --policy trust-policy.txt DIRECTORY

The checkpoint must be cosigned as the policy says; every tile and every entry must lead to its root. Prints one line,
`ok ...` or `refused: ...`, and exits with 0 or 1.
"""

import argparse
import pathlib
import sys

from aics_tlog import FileSystemTileReader, audit_tiles

from tlog_proof import Policy, checkpoint


def audit(policy, directory):
    result = checkpoint(policy, (directory / "checkpoint").read_text(encoding="utf-8"))
    report = audit_tiles(FileSystemTileReader(directory), result.size, result.root)
    return f"ok {result.size} leaves, cosigned by {', '.join(result.witnesses)}; {report}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--policy", required=True)
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    with open(arguments.policy, encoding="utf-8") as file:
        policy = Policy(file.read())
    try:
        print(audit(policy, arguments.directory))
    except (OSError, ValueError, LookupError) as error:
        print(f"refused: {' '.join(str(error).split())}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
