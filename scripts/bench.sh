#!/usr/bin/env bash
# Measures the release build: memory at rest, size, start, how fast a login's URL reaches a client, how fast a launch is
# resolved, and what logins cost that are many, loud, or leave something behind. Prints one table; no figure makes it
# fail. Everything it starts and writes is gone when it ends.
#   --quick       fewer accounts, starts and logins
#   --only PART   rest, urls, crowds, reading, starts, ends, launches or watching
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

options=("$@")
while (($#)); do
  case "$1:${2:-}" in
  --quick:*) shift ;;
  --only:rest | --only:urls | --only:crowds | --only:reading | --only:starts | --only:ends | --only:launches | --only:watching) shift 2 ;;
  *) fail "usage: bench.sh [--quick] [--only rest|urls|crowds|reading|starts|ends|launches|watching]" 64 ;;
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
  rm -rf "$work"
  exit "$code"
}
trap stop EXIT
# Without these, bash would leave by the signal before the benchmark is stopped.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$examples/bench" --srvd "$program" --fake-cli "$examples/fake_cli" --work "$work" ${options[@]+"${options[@]}"} &
bench=$!
code=0
wait "$bench" || code=$?
bench=
# The trap leaves with it.
(exit "$code")
