# shellcheck shell=bash
# Sourced by test.sh and bench.sh from the repository's root: a PostgreSQL cluster of its own in a temporary directory.
# What goes wrong is said on standard error, and the function fails.

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

cluster=
# Starts a cluster with the programs in $1 on a free loopback port, which is in $port then; the rest are settings.
start_postgres() {
  local programs=$1 attempt
  shift
  local settings=(-c listen_addresses=127.0.0.1 -c "unix_socket_directories=''" -c max_connections=200 "$@")
  cluster=$(mktemp -d "${TMPDIR:-/tmp}/srvd-postgres.XXXXXX") || return
  stop_with=$programs/pg_ctl
  if [[ -n $owner ]]; then chown "$owner" "$cluster" || return; fi
  # From a directory that the owner may enter, or the programs complain.
  cd "$cluster" || return
  if ! as_owner "$programs/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$cluster.log"; then
    cat "$cluster.log" >&2
    rm -f "$cluster.log"
    echo "initdb failed" >&2
    return 1
  fi
  rm -f "$cluster.log"
  # A port can be taken between the choice and the start, hence a few attempts. No socket: its path may be too long.
  for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 30000))
    if as_owner "$stop_with" -D "$cluster/data" -l "$cluster/data/log" -w -t 60 -s \
      -o "-p $port ${settings[*]}" start 2>/dev/null; then
      cd - >/dev/null || return
      return
    fi
  done
  tail -n 20 "$cluster/data/log" >&2
  echo "PostgreSQL did not start ($attempt attempts)" >&2
  return 1
}

# Stops the cluster, if there is one, and removes it.
stop_postgres() {
  # Without a number, "return" in a trap gives the status from before the trap.
  if [[ -z $cluster ]]; then return 0; fi
  if [[ -f $cluster/data/postmaster.pid ]]; then
    as_owner "$stop_with" -D "$cluster/data" -m immediate -w -s stop || true
  fi
  rm -rf "$cluster"
  cluster=
}
