#!/usr/bin/env bash
# Gets everything that the tests need, runs all of them, and stops what it started. Arguments go to `cargo test`.
#   - a PostgreSQL cluster of its own in a temporary directory, on a free loopback port (the store is tested on both
#     databases);
#   - the real provider CLIs in target/clis (scripts/clis.sh), which log in against a stand-in on loopback;
#   - a Secret Service on a bus of its own, on Linux (dbus and gnome-keyring; without them it is skipped, unless CI=true);
#   - a certified OpenID provider in target/issuer (scripts/issuer.sh), which the daemon itself logs in at.
# Exit code: that of the tests; 69 when something that is needed is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
  echo "test.sh: $1" >&2
  exit 69
}

# PostgreSQL refuses to run as root, so as root the cluster belongs to somebody else.
owner=
if [[ $(id -u) -eq 0 ]]; then
  owner=nobody
  if id postgres >/dev/null 2>&1; then owner=postgres; fi
fi
as_owner() {
  if [[ -z $owner ]]; then
    "$@"
  elif command -v runuser >/dev/null; then
    runuser -u "$owner" -- "$@"
  else
    sudo -n -u "$owner" -- "$@"
  fi
}

# The directory with both initdb and pg_ctl: on PATH, else where Debian (newest version last) and Homebrew keep them.
find_postgres() {
  local found candidate
  found=$(command -v initdb) && [[ -x $(dirname "$found")/pg_ctl ]] && dirname "$found" && return
  for candidate in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    if [[ -x $candidate/initdb && -x $candidate/pg_ctl ]]; then found=$candidate; fi
  done
  [[ -n $found ]] && echo "$found"
}

apt_install() {
  echo "test.sh: installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y "$@" >/dev/null ||
    { apt-get update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y "$@" >/dev/null; }
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

cluster=
stop() {
  local code=$?
  trap - EXIT
  if [[ -n $cluster ]]; then
    if [[ -f $cluster/data/postmaster.pid ]]; then
      as_owner "$postgres/pg_ctl" -D "$cluster/data" -m immediate -w -s stop || true
    fi
    rm -rf "$cluster"
  fi
  exit "$code"
}
trap stop EXIT
# Without these, bash would leave by the signal before the cluster is stopped.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_postgres() {
  cluster=$(mktemp -d "${TMPDIR:-/tmp}/srvd-test.XXXXXX")
  if [[ -n $owner ]]; then chown "$owner" "$cluster"; fi
  # From a directory that the owner may enter, or the programs complain.
  cd "$cluster"
  as_owner "$postgres/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$cluster.log" ||
    { cat "$cluster.log" >&2 && missing "initdb failed"; }
  rm -f "$cluster.log"
  local attempt
  # A port can be taken between the choice and the start, hence a few attempts. No socket: its path may be too long.
  for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 30000))
    if as_owner "$postgres/pg_ctl" -D "$cluster/data" -l "$cluster/data/log" -w -t 60 -s -o "-p $port \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 \
      -c fsync=off -c full_page_writes=off -c synchronous_commit=off" start 2>/dev/null; then
      cd - >/dev/null
      return
    fi
  done
  tail -n 20 "$cluster/data/log" >&2
  missing "PostgreSQL did not start ($attempt attempts)"
}

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
start_postgres
export SRVD_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
export SRVD_TEST_CLIS=$PWD/target/clis
export SRVD_TEST_ISSUER=$PWD/target/issuer
echo "test.sh: PostgreSQL on port $port, CLIs in $SRVD_TEST_CLIS, ready after $((SECONDS - started)) s"

cargo test --workspace --locked "$@"
if (($# == 0)) && [[ $(uname) == Linux ]]; then
  if ! has_keychain && [[ $owner ]] && command -v apt-get >/dev/null; then
    apt_install --no-install-recommends dbus gnome-keyring || true
  fi
  if has_keychain; then
    cargo test -p srvd --features keychain --locked --test it keychain::
  elif [[ ${CI:-} == true ]]; then
    missing "the OS keychain cannot be tested; install dbus and gnome-keyring"
  else
    echo "test.sh: SKIPPED: the OS keychain, because there is no dbus-daemon or gnome-keyring-daemon"
  fi
fi
echo "test.sh: all tests passed in $((SECONDS - started)) s"
