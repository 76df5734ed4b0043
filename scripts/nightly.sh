#!/usr/bin/env bash
# The kills of test.sh in larger numbers: SRVD_TEST_KILLS of them, 100 by default, for each case. And every combination of
# CLI, kind of credential and way to reach it; each CLI runs to its end. The workspace is type-checked for macOS, and the
# packages are built, installed, used and removed.
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

started=$SECONDS
export SRVD_TEST_KILLS=${SRVD_TEST_KILLS:-100}
cargo test -p identity-store --locked --test it -- killed::
cargo test -p srvd --locked --test it -- database::upgrade_is_finished
scripts/clis.sh
export SRVD_TEST_CLIS=$PWD/target/clis
SRVD_TEST_MATRIX=full cargo test -p srvd --locked --test it -- real_clis::matrix
SRVD_TEST_KEEPER_KILLS=50 cargo test -p srvd --locked --test it -- keeper::codex::codex_login_survives
cargo build --locked -p srvd
scripts/openrpc.sh
scripts/client.sh

# shellcheck source=scripts/cross.sh
. scripts/cross.sh
zig
standard_library aarch64-apple-darwin
"$tools/bin/cargo-zigbuild" check --workspace --tests --locked --target aarch64-apple-darwin
"$tools/bin/cargo-zigbuild" check -p srvd --tests --features keychain --locked --target aarch64-apple-darwin

if [[ $(uname -s) == Linux && $(id -u) == 0 ]]; then
  scripts/packages.sh
else
  echo "nightly.sh: SKIPPED: the packages, which are tested as root on Linux"
fi
echo "nightly.sh: all passed in $((SECONDS - started)) s"
