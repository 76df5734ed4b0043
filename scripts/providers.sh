#!/usr/bin/env bash
# Compares the registry with the real CLIs: installs them, runs `srvd providers check` and completes whole logins with
# them against the stand-ins of the tests, in a network of its own. No vendor is contacted.
#
#   scripts/providers.sh            the pinned versions; changes no file of the repository
#   scripts/providers.sh --newest   the newest versions. Where the check and every login of a CLI pass, its `tested`
#                                   version in config/providers is raised and docs/providers.md is written again
#
# target/providers/ has the results: report.md (one row for each CLI), check.json, tests.txt, and proposed.diff.
# Exit codes: 0 everything fits; 1 something no longer fits; 69 the CLIs cannot be installed or no registry is reachable.
set -euo pipefail
cd "$(dirname "$0")/.."

newest=
case "${1:-}" in
"") ;;
--newest) newest=1 ;;
*) echo "usage: scripts/providers.sh [--newest]" >&2 && exit 64 ;;
esac

# 69 if there is no registry; the reason has been said.
scripts/clis.sh ${newest:+--newest} || exit 69

out=$PWD/target/providers
rm -rf "$out"
mkdir -p "$out"
export SRVD_TEST_CLIS=$PWD/target/clis${newest:+-newest}
export SRVD_TEST_REPORT=$out/check.json
if [[ -n $newest ]]; then
  # A version other than the tested one is no failure then.
  export SRVD_TEST_NEWEST=true
fi

cargo build --quiet -p srvd
failed=
cargo test -p srvd --test it --no-fail-fast -- real_clis:: >"$out/tests.txt" 2>&1 || failed=1
if [[ ! -f $SRVD_TEST_REPORT ]]; then
  tail -40 "$out/tests.txt" >&2
  echo "providers.sh: the check did not run; see $out/tests.txt" >&2
  exit 1
fi

python3 - "$out" "$PWD/config/providers" ${newest:+--raise} <<'PY'
"""Writes report.md, and with --raise the tested versions of the CLIs that pass."""
import json, pathlib, re, sys

out, entries = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
checked = json.loads((out / "check.json").read_text())["providers"]
# The tests of a CLI are in the module of its name; two Kimi CLIs share one.
modules = {"kimi-code": "kimi", "qwen": None}
results = {}
for name, result in re.findall(r"^test real_clis::(\w+)::\w+ \.\.\. (\w+)", (out / "tests.txt").read_text(), re.M):
    results.setdefault(name, []).append(result)

rows, raised = [], []
for provider in checked:
    if provider["outcome"] == "not_installed":
        rows.append((provider["id"], provider.get("tested", "-"), "not installed", "-", "-", ""))
        continue
    tests = results.get(modules.get(provider["id"], provider["id"].replace("-", "_")), [])
    passed = sum(result == "ok" for result in tests)
    logins = f"{passed} of {len(tests)} pass" if tests else "-"
    remarks = provider["problems"] + provider["notes"]
    remarks += [f"{r['id']}: {', '.join(r['details'])}" for r in provider["recipes"] if r["outcome"] == "mismatch"]
    rows.append((provider["id"], provider.get("tested", "-"), provider.get("version", "-"), provider["outcome"], logins, "; ".join(remarks)))
    tested, version = provider.get("tested"), provider.get("version")
    fits = provider["outcome"] == "ok" and tests and passed == len(tests)
    if "--raise" in sys.argv and tested and version and tested != version and fits:
        file = entries / f"{provider['id']}.toml"
        text = file.read_text()
        file.write_text(text.replace(f'tested = "{tested}"', f'tested = "{version}"', 1))
        raised.append(f"{provider['id']}: {tested} -> {version}")

header = ("CLI", "tested", "installed", "check", "whole logins", "remarks")
lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
if raised:
    lines += ["", "Raised: " + ", ".join(raised)]
(out / "report.md").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
PY

if [[ -n $newest ]]; then
  cargo run --quiet -p srvd -- providers doc >"$out/providers.md"
  cp "$out/providers.md" docs/providers.md
  if command -v git >/dev/null; then
    git diff -- config/providers docs/providers.md >"$out/proposed.diff"
    echo "providers.sh: $(grep -c '^+tested' "$out/proposed.diff" || true) tested versions are raised in the working tree; see $out/proposed.diff"
  fi
fi
if [[ -n $failed ]]; then
  echo "providers.sh: something no longer fits; see $out/report.md and $out/tests.txt" >&2
  exit 1
fi
