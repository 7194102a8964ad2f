"""Judges bodies by the JSON Schemas of registered types, with the PyPI package jsonschema.

Usage: schemas.py FOLDER < BODIES

FOLDER holds the files of the types. Each line of BODIES is JSON: {"type": ..., "body": {...}}. Prints valid or invalid for
each line. Formats of the specification are asserted; those of our own are unknown here and accept every text.
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator


def main(folder):
    validators = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        file = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(file["schema"])
        checker = Draft202012Validator.FORMAT_CHECKER
        validators[file["key"]] = Draft202012Validator(file["schema"], format_checker=checker)
    for line in sys.stdin:
        case = json.loads(line)
        print("valid" if validators[case["type"]].is_valid(case["body"]) else "invalid")


if __name__ == "__main__":
    main(sys.argv[1])
