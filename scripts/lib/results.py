# SPDX-License-Identifier: LGPL-2.1-or-later
"""The counts of scripts/test: results.py add FILE SUITE SECONDS SOURCE | results.py table FILE

FILE collects one JSON object a line. SOURCE says where the counts come from:
  passed, failed     one check that passed or failed
  mocha:FILE         what scripts/mocha-reporter.ts wrote
  meson:FILE         meson's testlog.json; each program ends with "N passed, N failed"
A source that is missing or says nothing counts as one failure: the suite did not run.
"""

import json
import re
import sys

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
NOT_RUN = (0, 1)


def of_mocha(path):
    with open(path, encoding="utf-8") as file:
        counts = json.load(file)
    return counts["passed"], counts["failed"]


def of_meson(path):
    passed = failed = 0
    with open(path, encoding="utf-8") as file:
        for test in map(json.loads, file):
            counts = COUNTS.findall(test.get("stdout") or "")
            ok, bad = map(int, counts[-1]) if counts else NOT_RUN
            # A sanitizer's finding or a crash fails the program whatever it printed before.
            passed, failed = passed + ok, failed + (bad or int(test["result"] != "OK"))
    return passed, failed


def counts_of(source):
    kind, _, path = source.partition(":")
    if kind in ("passed", "failed"):
        return (1, 0) if kind == "passed" else (0, 1)
    try:
        counts = {"mocha": of_mocha, "meson": of_meson}[kind](path)
    except (OSError, ValueError, KeyError) as error:
        print(f"no results: {error}", file=sys.stderr)
        return NOT_RUN
    return counts if sum(counts) > 0 else NOT_RUN


def add(path, suite, seconds, source):
    passed, failed = counts_of(source)
    with open(path, "a", encoding="utf-8") as file:
        print(json.dumps([suite, passed, failed, float(seconds)]), file=file)


def table(path):
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    print(f"\n{'suite':<40} {'passed':>8} {'failed':>8} {'time':>10}")
    for suite, passed, failed, seconds in rows:
        print(f"{suite:<40} {passed:>8} {failed:>8} {seconds:>8.1f} s")
    passed, failed = (sum(row[column] for row in rows) for column in (1, 2))
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    sys.exit({"add": add, "table": table}[command](*rest))
