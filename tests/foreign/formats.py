"""Judges exports: CAP files by the OASIS schema (lxml), releases by the schema of OCDS (jsonschema) and by OCDS Kit, which
merges the releases of each process into one, entities by the schemas of FIWARE (jsonschema).

Usage: formats.py DATA CAPS RELEASES ENTITIES
DATA holds the schemas, CAPS the alerts. Prints a line for each flaw and, at the end, how many documents were judged.
"""

import json
import pathlib
import sys

from jsonschema import Draft4Validator, Draft202012Validator
from lxml import etree
from ocdskit.combine import merge
from ocdskit.util import detect_format
from ocdsmerge.exceptions import OCDSMergeError
from referencing import Registry, Resource

data, caps, releases, entities = (pathlib.Path(name) for name in sys.argv[1:])
judged = 0


def flaw(what, why):
    print(f"flaw: {what}: {why}")


schema = etree.XMLSchema(etree.parse(data / "cap" / "cap12.xsd"))
for path in sorted(caps.glob("*.cap")):
    judged += 1
    if not schema.validate(etree.parse(path)):
        flaw(path.name, schema.error_log)

schema = json.loads((data / "ocds" / "release-schema.json").read_text())
package = json.loads(releases.read_text())
validator = Draft4Validator(schema)
for release in package["releases"]:
    judged += 1
    for error in validator.iter_errors(release):
        flaw(release["id"], f"{list(error.path)}: {error.message}")
kind = detect_format(str(releases))[0].value
if kind != "release package":
    flaw(releases.name, f"OCDS Kit takes it for a {kind}")
try:
    for compiled in merge([package], schema=schema):
        stages = [stage for stage in ("planning", "tender", "awards", "contracts") if stage in compiled]
        print(f"compiled {compiled['ocid']}: {', '.join(stages)}")
except OCDSMergeError as error:
    flaw(releases.name, f"OCDS Kit: {error}")


def bundled(url):
    """The remote schema that a FIWARE schema refers to, from the copies."""
    name = url.rsplit("/", 1)[-1]
    return Resource.from_contents(json.loads((data / "fiware" / "_common" / name).read_text()))


registry = Registry(retrieve=bundled)
for entity in json.loads(entities.read_text()):
    judged += 1
    schema = json.loads((data / "fiware" / entity["type"] / "schema.json").read_text())
    for error in Draft202012Validator(schema, registry=registry).iter_errors(entity):
        flaw(entity["id"], f"{list(error.path)}: {error.message}")

print(f"judged {judged}")
