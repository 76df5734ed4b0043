#!/usr/bin/env bash
# Measures the release build: memory at rest, size, start, how fast a login's URL reaches a client, how fast a launch is
# resolved, what logins cost that are many, loud, or leave something behind, and what profiles, refreshes and sealing
# cost. Prints one table; no figure makes it fail. Everything it starts and writes is gone when it ends. Where there is
# PostgreSQL, profiles are measured on a cluster of its own, too.
#   --quick       fewer accounts, starts and logins
#   --only PART   rest, urls, crowds, reading, starts, ends, launches, watching, profiles, refresh or sealing
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

options=("$@")
part=
while (($#)); do
  case "$1:${2:-}" in
  --quick:*) shift ;;
  --only:rest | --only:urls | --only:crowds | --only:reading | --only:starts | --only:ends | --only:launches | --only:watching | \
    --only:profiles | --only:refresh | --only:sealing)
    part=$2
    shift 2
    ;;
  *) fail "usage: bench.sh [--quick] [--only rest|urls|crowds|reading|starts|ends|launches|watching|profiles|refresh|sealing]" 64 ;;
  esac
done

# The daemon is built by itself: together with an example it would get the features that only tests ask for.
program=$(build)
cargo build --release --locked --quiet -p auth-spawner --example fake_cli
cargo build --release --locked --quiet -p srvd --example bench
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

if [[ -z $part || $part == profiles ]]; then
  if postgres=$(find_postgres) && start_postgres "$postgres"; then
    options+=(--postgres "postgres://postgres@127.0.0.1:$port/postgres")
  else
    echo "bench.sh: there is no PostgreSQL, so profiles are measured on SQLite only" >&2
  fi
fi

"$examples/bench" --srvd "$program" --fake-cli "$examples/fake_cli" --work "$work" ${options[@]+"${options[@]}"} &
bench=$!
code=0
wait "$bench" || code=$?
bench=
# The trap leaves with it.
(exit "$code")
