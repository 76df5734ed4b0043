#!/usr/bin/env bash
# Tests that need a quiet machine or much time, after those of test.sh: the parts that `cargo test` ignores, and more kills.
# Starts a PostgreSQL cluster of its own and ends only that. Exit code: that of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh
trap stop_postgres EXIT
postgres=$(find_postgres) || true
if [[ -z $postgres ]]; then
  echo "nightly.sh: PostgreSQL is missing; scripts/test.sh installs it" >&2
  exit 69
fi
start_postgres "$postgres" -c fsync=off -c full_page_writes=off -c synchronous_commit=off
export SRVD_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
export SRVD_TEST_CLIS=$PWD/target/clis

started=$SECONDS
cargo test -p srvd --locked --test it -- --ignored hanging:: real_clis::
SRVD_TEST_KILLS=${SRVD_TEST_KILLS:-100} cargo test -p identity-store --locked --test it -- killed::
echo "nightly.sh: all passed in $((SECONDS - started)) s"
