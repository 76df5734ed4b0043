#!/usr/bin/env bash
# Measures the release build: alone, from the side of a user, and beside what a user would pick instead. bench/README.md
# names the rows and says how to read them. Prints tables, and writes them to target/bench.json. No figure makes it fail,
# but a row without a figure does. Everything else that it starts and writes is gone when it ends.
#   --quick       fewer accounts, starts and logins, shorter rounds
#   --only PART   alone: rest, urls, crowds, reading, starts, ends, exec, status, events, launches, watching, profiles or
#                 refresh; beside peers: requests, fanout, idle, start, launch or fairness; `alone` and `peers` are all of
#                 these; and `build`, which is not part of a whole run: the build of quickstart.sh from nothing
# It uses direnv, redis-server, PostgreSQL, and Node with the package ws, which it puts below target/. The rows of one
# that is not installed are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

alone=rest,urls,crowds,reading,starts,ends,exec,status,events,launches,watching,profiles,refresh
peers=requests,fanout,idle,start,launch,fairness

quick=() part=all
while (($#)); do
  case "$1:${2:-}" in
  --quick:*) quick=(--quick) && shift ;;
  --only:?*) part=$2 && shift 2 ;;
  *) fail "usage: bench.sh [--quick] [--only PART]" 64 ;;
  esac
done
case ,$alone,$peers,build, in
*,"$part",*) parts=$part ;;
*)
  case $part in
  all) parts=$alone,$peers ;;
  alone) parts=$alone ;;
  peers) parts=$peers ;;
  *) fail "unknown part: $part" 64 ;;
  esac
  ;;
esac
# Whether one of the named parts is wanted.
wants() {
  local name
  for name; do
    if [[ ,$parts, == *,$name,* ]]; then return; fi
  done
  return 1
}

target=${CARGO_TARGET_DIR:-$PWD/target}
# The daemon is built by itself, as install.sh builds it. The part `build` builds it as quickstart.sh does.
program=$target/release/srvd
if [[ $parts != build ]]; then program=$(build release); fi
cargo build --profile peers --locked --quiet -p srvd-bench --bins

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

options=(--srvd "$program" --peers "$target/peers" --work "$work" --json "$target/bench.json" --only "$parts")
if wants urls crowds reading starts ends; then
  cargo build --release --locked --quiet -p auth-spawner --example fake_cli
  options+=(--fake-cli "$target/release/examples/fake_cli")
fi
if wants profiles && postgres=$(find_postgres) && start_postgres "$postgres"; then
  options+=(--postgres "postgres://postgres@127.0.0.1:$port/postgres")
fi
if wants requests idle && command -v npm >/dev/null; then
  mkdir -p "$target/bench-node"
  cp bench/peers/ws.mjs bench/peers/package.json "$target/bench-node/"
  npm install --prefix "$target/bench-node" --no-audit --no-fund --silent && options+=(--node "$target/bench-node")
fi
# Thousands of connections on each side.
ulimit -n "$(ulimit -Hn)"
# It runs beside the script, so that the traps can end it.
"$target/peers/srvd-bench" "${options[@]}" ${quick[@]+"${quick[@]}"} &
bench=$!
code=0
wait "$bench" || code=$?
bench=
((code == 0)) || exit "$code"
