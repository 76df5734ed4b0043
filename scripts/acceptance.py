#!/usr/bin/env python3
"""Checks docs/acceptance.md: every test that it names is one, and every case of the credential model is in it.

A test is named as a file below crates/ and a function, such as `srvd/tests/it/keys.rs rejected_key_is_not_stored`, and a
command as a script below scripts/. A criterion that nothing shows is named on standard output."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = range(1, 82)

text = (ROOT / "docs/acceptance.md").read_text()
faults = []
tests = set(re.findall(r"`([a-z-]+/(?:src|tests)/[\w/]+\.rs) (\w+)`", text))
for file, name in sorted(tests):
    path = ROOT / "crates" / file
    source = path.read_text() if path.is_file() else ""
    # The attribute of a test stands above its name, perhaps with others and comments between.
    test = re.search(rf"^ *#\[(?:tokio::)?test\b[^\n]*\n(?: *(?:#\[|//)[^\n]*\n)* *(?:async )?fn {name}\b", source, re.M)
    # The tests of a property are written in a macro.
    property_test = re.search(rf"^ *#\[test\]\n(?: *//[^\n]*\n)* *fn {name}\(\w+ in ", source, re.M)
    # The store's tests are cases of a list, and each runs on both databases.
    case = re.search(rf"^ +{name},$", source, re.M) and re.search(rf"^async fn {name}\(f: ", source, re.M)
    if not (test or property_test or case):
        faults.append(f"crates/{file} has no test {name}")
for script in sorted(set(re.findall(r"`(scripts/[\w.]+)", text))):
    if not (ROOT / script).is_file():
        faults.append(f"{script} does not exist")

rows = re.findall(r"^\| *([A-Z]?\d+) *\|(.*)\|$", text, re.M)
ids = [number for number, _ in rows]
faults += [f"case {case} of the credential model is missing" for case in CASES if str(case) not in ids]
faults += [f"the id {number} occurs twice" for number in sorted({number for number in ids if ids.count(number) > 1})]
for number, row in rows:
    if "`" not in row.rsplit("|", 1)[-1]:
        print(f"docs/acceptance.md: nothing shows {number} yet")
if not tests:
    faults.append("no test is named")

for fault in faults:
    print(f"docs/acceptance.md: {fault}", file=sys.stderr)
sys.exit(bool(faults))
