#!/usr/bin/env bash
# Builds and tests what runs in a browser against the built daemon: the TypeScript client, whose generated types must be current,
# in Node and in Chromium; and the console, whose embedded files must be those that its sources give. Screens of the console
# are written to target/screens. Without Chromium, its tests are skipped, unless CI=true. Exit code: that of the tests; 69 when
# something that is needed is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
  echo "client.sh: $1" >&2
  exit 69
}

program=${SRVD_TEST_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/debug/srvd}
[[ -x $program ]] || missing "$program is missing; run: cargo build -p srvd"
# The Node that the CLIs are tested with, if it is there.
PATH=$PWD/target/clis/bin:$PATH
command -v npm >/dev/null || missing "npm is missing; install Node 20 or newer, or run scripts/clis.sh"
if ! command -v chromium >/dev/null && [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
  echo "client.sh: installing chromium"
  apt-get install -y --no-install-recommends chromium >/dev/null ||
    { apt-get update >/dev/null && apt-get install -y --no-install-recommends chromium >/dev/null; } || true
fi
tests=(test/node.test.mjs test/pack.test.mjs)
if chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
  tests+=(test/browser.test.mjs)
elif [[ ${CI:-} == true ]]; then
  missing "Chromium is missing; install it (apt-get install chromium)"
else
  echo "client.sh: SKIPPED: the client in a browser and the console, because Chromium is missing"
fi

cd clients/typescript
npm ci --no-audit --no-fund --silent
"$program" protocol --openrpc | node scripts/generate.mjs | diff src/protocol.ts - >&2 || {
  echo "client.sh: src/protocol.ts is stale; in clients/typescript run: srvd protocol --openrpc | npm run --silent generate > src/protocol.ts" >&2
  exit 1
}
npm run --silent check
SRVD_TEST_PROGRAM=$program SRVD_TEST_CHROMIUM=$chromium node --test "${tests[@]}"
echo "client.sh: the client's tests passed"

cd ../../console
npm ci --no-audit --no-fund --silent
npm run check --silent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node build.mjs "$work"
diff -r "$work" ../crates/srvd/console >&2 || {
  echo "client.sh: the embedded console is stale; run: node console/build.mjs" >&2
  exit 1
}
[[ -n $chromium ]] || exit 0
SRVD_TEST_PROGRAM=$program SRVD_TEST_CHROMIUM=$chromium SRVD_TEST_SCREENS=$PWD/../target/screens node --test test/console.test.mjs
echo "client.sh: the console's tests passed"
