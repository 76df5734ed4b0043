#!/usr/bin/env bash
# Gets everything that the tests need, runs all of them, and stops what it started. Arguments go to `cargo test`.
#   - a PostgreSQL cluster of its own in a temporary directory, on a free loopback port (the store is tested on both
#     databases);
#   - the real provider CLIs in target/clis (scripts/clis.sh), which log in against a stand-in on loopback;
#   - a certified OpenID provider in target/issuer (scripts/issuer.sh), which the daemon itself logs in at.
# Exit code: that of the tests; 69 when something that is needed is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
  echo "test.sh: $1" >&2
  exit 69
}

# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

# Debian's package makes a system cluster and starts it. Only a cluster that this very installation has made is
# stopped again.
install_postgres() {
  echo "test.sh: installing postgresql"
  local before after
  before=$(ls -d /etc/postgresql/*/* 2>/dev/null || true)
  DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql >/dev/null ||
    { apt-get update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql >/dev/null; } ||
    missing "PostgreSQL is missing and apt-get could not install it"
  for after in /etc/postgresql/*/*; do
    if [[ -d $after && $'\n'$before$'\n' != *$'\n'$after$'\n'* ]]; then
      pg_ctlcluster "$(basename "$(dirname "$after")")" "$(basename "$after")" stop || true
    fi
  done
  owner=postgres
}

stop() {
  local code=$?
  trap - EXIT
  stop_postgres
  exit "$code"
}
trap stop EXIT
# Without these, bash would leave by the signal before the cluster is stopped.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

command -v cargo >/dev/null || missing "cargo is missing; install Rust from https://rustup.rs"
postgres=$(find_postgres) || true
if [[ -z $postgres && $owner ]] && command -v apt-get >/dev/null; then
  install_postgres
  postgres=$(find_postgres) || true
fi
[[ -n $postgres ]] || missing "PostgreSQL is missing; install it (apt-get install postgresql, brew install postgresql)"

started=$SECONDS
scripts/clis.sh
scripts/issuer.sh
start_postgres "$postgres" -c fsync=off -c full_page_writes=off -c synchronous_commit=off ||
  missing "PostgreSQL cannot be started"
export SRVD_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
export SRVD_TEST_CLIS=$PWD/target/clis
export SRVD_TEST_ISSUER=$PWD/target/issuer
echo "test.sh: PostgreSQL on port $port, CLIs in $SRVD_TEST_CLIS, ready after $((SECONDS - started)) s"

cargo test --workspace --locked "$@"
echo "test.sh: all tests passed in $((SECONDS - started)) s"
