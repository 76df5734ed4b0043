#!/usr/bin/env bash
# Measures the release build. First by itself: memory at rest, size, start, how fast a login's URL reaches a client, how
# fast a launch is resolved, what logins cost that are many, loud, or leave something behind, and what profiles, refreshes
# and sealing cost; where there is PostgreSQL, profiles are measured on a cluster of its own, too. Then beside what a user
# would pick instead (bench/README.md says how to read that). Prints tables, and writes the second half to
# target/bench.json; no figure makes it fail. Everything else that it starts and writes is gone when it ends.
#   --quick       fewer accounts, starts and logins, shorter rounds
#   --only PART   rest, urls, crowds, reading, starts, ends, launches, watching, profiles, refresh or sealing; or, side by
#                 side: requests, fanout, idle, start, launch, dispatch, scan, fairness or growth; `peers` is all of these
# Side by side it uses redis-server and valgrind where they are installed, and Node with the package ws, which it puts
# below target/; a peer that is not there is left out of the table.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

quick=() part=all
while (($#)); do
  case "$1:${2:-}" in
  --quick:*) quick=(--quick) && shift ;;
  --only:?*) part=$2 && shift 2 ;;
  *) fail "usage: bench.sh [--quick] [--only PART]" 64 ;;
  esac
done
case $part in
all) itself=1 peers=1 ;;
rest | urls | crowds | reading | starts | ends | launches | watching | profiles | refresh | sealing) itself=1 peers= ;;
peers | requests | fanout | idle | start | launch | dispatch | scan | fairness | growth) itself='' peers=1 ;;
*) fail "there is no part $part" 64 ;;
esac

target=${CARGO_TARGET_DIR:-$PWD/target}
# The daemon is built by itself: together with an example it would get the features that only tests ask for.
program=$(build)
examples=$(dirname "$program")/examples

work=$(mktemp -d "${TMPDIR:-/tmp}/srvd-bench.XXXXXX")
bench=
stop() {
  local code=$?
  trap - EXIT
  # It ends its daemons before it ends.
  if [[ -n $bench ]] && kill "$bench" 2>/dev/null; then wait "$bench" || true; fi
  stop_postgres
  rm -rf "$work"
  exit "$code"
}
trap stop EXIT
# Without these, bash would leave by the signal before the benchmark is stopped.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs a program so that the traps can end it; the script ends with it when it fails.
run() {
  "$@" &
  bench=$!
  local code=0
  wait "$bench" || code=$?
  bench=
  ((code == 0)) || exit "$code"
}

if [[ -n $itself ]]; then
  cargo build --release --locked --quiet -p auth-spawner --example fake_cli
  cargo build --release --locked --quiet -p srvd --example bench
  only=()
  if [[ $part != all ]]; then only=(--only "$part"); fi
  if [[ $part == all || $part == profiles ]]; then
    if postgres=$(find_postgres) && start_postgres "$postgres"; then
      only+=(--postgres "postgres://postgres@127.0.0.1:$port/postgres")
    else
      echo "bench.sh: there is no PostgreSQL, so profiles are measured on SQLite only" >&2
    fi
  fi
  run "$examples/bench" --srvd "$program" --fake-cli "$examples/fake_cli" --work "$work" \
    ${quick[@]+"${quick[@]}"} ${only[@]+"${only[@]}"}
fi

if [[ -n $peers ]]; then
  cargo build --release --locked --quiet -p auth-spawner --example scan
  cargo build --release --locked --quiet -p srvd --example dispatch
  cargo build --profile peers --locked --quiet -p srvd-bench --bins
  options=(--srvd "$program" --peers "$target/peers" --json "$target/bench.json")
  command -v redis-server >/dev/null ||
    echo "bench.sh: no Redis to compare with: apt-get install redis-server, or brew install redis" >&2
  command -v valgrind >/dev/null ||
    echo "bench.sh: instructions are not counted: apt-get install valgrind" >&2
  if command -v npm >/dev/null; then
    mkdir -p "$target/bench-node"
    cp bench/peers/ws.mjs bench/peers/package.json "$target/bench-node/"
    npm install --prefix "$target/bench-node" --no-audit --no-fund --silent && options+=(--node "$target/bench-node")
  else
    echo "bench.sh: no Node to compare with" >&2
  fi
  case $part in
  all | peers) ;;
  *) options+=(--only "$part") ;;
  esac
  if ((${#quick[@]})); then options+=(--rounds 3 --slice-ms 700); fi
  # Thousands of connections on each side.
  ulimit -n "$(ulimit -Hn)"
  run "$target/peers/srvd-bench" "${options[@]}"
fi
