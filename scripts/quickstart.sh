#!/usr/bin/env bash
# From a checkout to a running daemon: builds, makes a key, brings the database up to date, starts. Run it again at any
# time; what is there is kept, and a daemon that runs is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

next_steps() {
  local shown=${program#"$PWD"/}
  echo
  echo "srvd listens at $(endpoint url) and $(endpoint socket)"
  echo "Next:     $shown login codex --bundle work"
  echo "Stop it:  kill $(endpoint pid)"
}

program=$(build try)
if running "$program"; then
  echo "A daemon is already running (pid $(endpoint pid)). Restart it to use a new build."
  next_steps
  exit
fi
ensure_key "$program" || fail "the key of this installation is not in this shell: $key_place" 78
migrate "$program"

log=$data_dir/srvd.log
(umask 077 && touch "$log")
# It outlives this script and its terminal.
nohup "$program" >>"$log" 2>&1 </dev/null &
daemon=$!
if ! "$program" wait --timeout 10; then
  tail -n 20 "$log" >&2
  kill "$daemon" 2>/dev/null || true
  fail "srvd did not start; its log is $log"
fi
echo "Started; the log is $log"
next_steps
