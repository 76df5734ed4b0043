#!/usr/bin/env bash
# Checks the OpenRPC document of the built program with the tools that frontend developers use: openrpc.sh [srvd].
# Needs npm and Node.js 20; the packages are pinned in scripts/openrpc/package-lock.json and installed in target/openrpc.
set -euo pipefail
cd "$(dirname "$0")/.."

srvd=${1:-target/debug/srvd}
dir=$PWD/target/openrpc
if ! command -v npm >/dev/null; then
  echo "openrpc.sh: npm is missing; install Node.js with npm (apt-get install npm, brew install node)" >&2
  exit 69
fi
mkdir -p "$dir"
if ! cmp -s scripts/openrpc/package-lock.json "$dir/complete"; then
  rm -f "$dir/complete"
  cp scripts/openrpc/package.json scripts/openrpc/package-lock.json "$dir"
  # No package script runs, and the lock file has a hash of each package.
  npm ci --prefix "$dir" --ignore-scripts --prefer-offline --fetch-retries=2 --no-audit --no-fund --loglevel=error
  cp scripts/openrpc/package-lock.json "$dir/complete"
fi
cp scripts/openrpc/check.mjs "$dir"
"$srvd" protocol --openrpc >"$dir/openrpc.json"
node "$dir/check.mjs" "$dir/openrpc.json" "$dir"
