#!/usr/bin/env bash
# Gets everything that the tests need, runs all of them, and stops what it started. Arguments go to `cargo test`.
#   - a PostgreSQL cluster of its own in a temporary directory, on a free loopback port (the store is tested on both
#     databases);
#   - the real provider CLIs in target/clis (scripts/clis.sh), which log in against a stand-in in network namespaces with
#     loopback only (util-linux and iproute2, on Linux, as root or where users may make namespaces; without them these tests
#     are skipped, unless CI=true);
#   - a Secret Service on a bus of its own, on Linux (dbus and gnome-keyring; without them it is skipped, unless CI=true);
#   - Prometheus's own parser of figures in target/python, by pip (without it the figures are not read by it, unless CI=true);
#   - a certified OpenID provider in target/issuer (scripts/issuer.sh), which the daemon itself logs in at;
#   - Chromium, in which the TypeScript client and the console are tested (without it they are skipped, unless CI=true).
# Exit code: that of the tests; 69 when something that is needed is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
  echo "test.sh: $1" >&2
  exit 69
}

# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

apt_install() {
  echo "test.sh: installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y "$@" >/dev/null ||
    { apt-get update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y "$@" >/dev/null; }
}

# Debian has `ip` in a directory that a user's PATH may leave out.
has_namespaces() {
  local PATH=$PATH:/usr/sbin:/sbin
  { command -v ip && command -v unshare && command -v mount; } >/dev/null
}

has_keychain() { command -v dbus-daemon && command -v dbus-send && command -v gnome-keyring-daemon; } >/dev/null

# Debian's package makes a system cluster and starts it. Only a cluster that this very installation has made is
# stopped again.
install_postgres() {
  local before after
  before=$(ls -d /etc/postgresql/*/* 2>/dev/null || true)
  apt_install postgresql || missing "PostgreSQL is missing and apt-get could not install it"
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
if [[ $(uname) == Linux ]] && ! has_namespaces && [[ $owner ]] && command -v apt-get >/dev/null; then
  apt_install --no-install-recommends iproute2 util-linux mount || true
fi
if ! has_namespaces; then
  [[ ${CI:-} != true ]] || missing "the CLIs cannot be tested without network namespaces; install iproute2 and util-linux"
  echo "test.sh: SKIPPED: whole logins of the CLIs, because ip, unshare or mount is missing"
fi
scripts/clis.sh
scripts/issuer.sh
# The parser of the Prometheus project, which reads the figures of the daemon.
if [[ ! -d target/python/prometheus_client ]]; then
  python3 -m pip install --quiet --disable-pip-version-check --target target/python prometheus_client==0.26.0 ||
    { [[ ${CI:-} != true ]] || missing "Prometheus's parser is missing; install python3 and pip"; }
fi
start_postgres "$postgres" -c fsync=off -c full_page_writes=off -c synchronous_commit=off ||
  missing "PostgreSQL cannot be started"
export SRVD_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
export SRVD_TEST_CLIS=$PWD/target/clis
export SRVD_TEST_ISSUER=$PWD/target/issuer
export SRVD_TEST_PYTHON=$PWD/target/python
echo "test.sh: PostgreSQL on port $port, CLIs in $SRVD_TEST_CLIS, ready after $((SECONDS - started)) s"

cargo test --workspace --locked "$@"
if (($# == 0)); then scripts/client.sh; fi
if (($# == 0)) && [[ $(uname) == Linux ]]; then
  if ! has_keychain && [[ $owner ]] && command -v apt-get >/dev/null; then
    apt_install --no-install-recommends dbus gnome-keyring || true
  fi
  if has_keychain; then
    cargo test -p srvd --features keychain --locked --test it keychain::
  elif [[ ${CI:-} == true ]]; then
    missing "the OS keychain cannot be tested; install dbus and gnome-keyring"
  else
    echo "test.sh: SKIPPED: the OS keychain, because dbus-daemon, dbus-send or gnome-keyring-daemon is missing"
  fi
fi
echo "test.sh: all tests passed in $((SECONDS - started)) s"
