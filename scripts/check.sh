#!/usr/bin/env bash
# Everything that is checked without running a test: format, lints, documentation, dependencies, and the rules of the
# house. Runs all of them and names at the end what failed.
# RUSTSEC_DB=<clone of rustsec/advisory-db> adds the check for known vulnerabilities, without using the network.
set -euo pipefail
cd "$(dirname "$0")/.."

deny_version=0.20.2
# cargo-deny looks for its database under this name, which is derived from the database's URL.
advisory_db=advisory-db-3157b0e258782691

failed=()
step() {
  local name=$1 started=$SECONDS
  shift
  echo "check.sh: $name"
  if "$@"; then
    echo "check.sh: $name: ok ($((SECONDS - started)) s)"
  else
    failed+=("$name")
    echo "check.sh: $name: FAILED" >&2
  fi
}

documentation() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet; }

cargo_deny() {
  local deny=cargo-deny
  # Another version may read deny.toml differently.
  if [[ $(cargo-deny --version 2>/dev/null) != "cargo-deny $deny_version" ]]; then
    deny=$PWD/target/tools/bin/cargo-deny
    [[ -x $deny ]] ||
      cargo install cargo-deny --locked --version "$deny_version" --root target/tools --quiet || return 1
  fi
  # All platforms' manifests are needed, also those that this machine never builds.
  cargo fetch --locked --quiet && "$deny" --locked --offline "$@"
}

dependencies() { cargo_deny check --hide-inclusion-graph bans licenses sources; }

advisories() {
  local made age work
  made=$(git -C "$RUSTSEC_DB" log -1 --format=%ct) || return 1
  age=$((($(date +%s) - made) / 86400))
  if ((age > 30)); then echo "check.sh: WARNING: $RUSTSEC_DB is $age days old" >&2; fi
  work=$(mktemp -d)
  ln -s "$(cd "$RUSTSEC_DB" && pwd)" "$work/$advisory_db"
  awk -v path="$work" '{ print } /^\[advisories\]/ { print "db-path = \"" path "\"" }' deny.toml >"$work/deny.toml"
  local code=0
  cargo_deny --config "$work/deny.toml" check --hide-inclusion-graph advisories || code=$?
  rm -rf "$work"
  return "$code"
}

shell_scripts() { shellcheck -x scripts/*.sh .ci/run; }

# A source file is at most 400 lines long before its tests.
file_lengths() {
  find crates/*/src bench/src -name '*.rs' -not -name tests.rs -exec awk '
    FNR == 1 { tests = 0 }
    /^#\[cfg\(test\)\]/ { tests = 1 }
    !tests && FNR == 401 { print FILENAME ": more than 400 lines before its tests"; long = 1 }
    END { exit long }' {} +
}

# Doc comments begin with a noun phrase or a verb (docs/style.md). There are no exceptions so far.
comment_openings() {
  ! git grep -nE '^\s*//[/!] *(What|Who|Whose|Whom|Whoever|Whether|Where|Which|How long|It (was|did|is))\b' -- '*.rs'
}

# Test names begin with their subject (docs/style.md).
test_names() {
  ! git grep -nE '^\s*(async )?fn (a|an|the|it|what|who|whose|whoever|nobody|somebody)_\w*\(' -- '*.rs'
}

# Rooms import downwards only. The checker is tried first on a copy with a back edge behind a re-export, which must fail.
rooms() {
  local work code=0
  work=$(mktemp -d)
  mkdir -p "$work/scripts" "$work/crates"
  cp scripts/rooms.* "$work/scripts" && cp -r crates/* "$work/crates" || return 1
  echo 'pub use crate::daemon::Running as Planted;' >>"$work/crates/srvd/src/wire/mod.rs"
  echo 'use crate::wire::Planted;' >>"$work/crates/srvd/src/base/clock.rs"
  if { python3 "$work/scripts/rooms.py" 2>&1 || true; } | grep -q '^srvd: base::clock uses daemon::running$'; then
    python3 scripts/rooms.py || code=$?
  else
    echo "check.sh: the checker of rooms does not see a planted back edge" >&2
    code=1
  fi
  rm -rf "$work"
  return "$code"
}

# A method decodes, calls a room and encodes: no store, spawner, file or HTTP, and at most 15 lines a function.
methods() {
  ! grep -nE 'identity_store|auth_spawner|(std|tokio)::fs|hyper' crates/srvd/src/rpc/methods/*.rs && awk '
    /^(pub )?(async )?fn / { name = FILENAME ": " $0; lines = 0 }
    { lines++ }
    /^}/ && name { if (lines > 15) { print name " has " lines " lines"; long = 1 } name = "" }
    END { exit long }' crates/srvd/src/rpc/methods/*.rs
}

# Every test that docs/acceptance.md names exists. The checker is tried first on a copy that names one that does not.
acceptance() {
  local work code=0
  work=$(mktemp -d)
  mkdir -p "$work/scripts" "$work/docs"
  cp scripts/acceptance.py scripts/*.sh "$work/scripts" && ln -s "$PWD/crates" "$work/crates" || return 1
  # shellcheck disable=SC2016 # The backquotes are Markdown.
  { cat docs/acceptance.md && echo '`srvd/tests/it/keys.rs planted_test_that_is_none`'; } >"$work/docs/acceptance.md"
  if { python3 "$work/scripts/acceptance.py" 2>&1 || true; } | grep -q 'has no test planted_test_that_is_none$'; then
    python3 scripts/acceptance.py || code=$?
  else
    echo "check.sh: the checker of docs/acceptance.md does not see a test that does not exist" >&2
    code=1
  fi
  rm -rf "$work"
  return "$code"
}

# Both databases have the same migrations.
migrations() { diff <(ls migrations/sqlite) <(ls migrations/postgres); }

units() {
  # The program in the unit is not installed here, so something that exists stands in for it.
  local work unit code=0
  work=$(mktemp -d)
  for unit in srvd.service srvd@.service; do
    sed -E "s|^(ExecStart[A-Za-z]*)=[^ ]*|\1=/bin/true|" "config/systemd/$unit" >"$work/$unit"
  done
  systemd-analyze verify "$work/srvd.service" "$work/srvd@.service" || code=$?
  # The score of the hardened unit must not get worse: 1.7 of 10 when this was written.
  systemd-analyze security --offline=yes --threshold=20 "$work/srvd@.service" >/dev/null || code=$?
  rm -rf "$work"
  return "$code"
}

step "format" cargo fmt --all --check
step "clippy" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
step "clippy with the OS keychain" cargo clippy -p srvd --features keychain --all-targets --locked --quiet -- -D warnings
step "documentation" documentation
step "dependencies" dependencies
if [[ -n ${RUSTSEC_DB:-} ]]; then
  step "advisories" advisories
else
  echo "check.sh: WARNING: known vulnerabilities are NOT checked: RUSTSEC_DB is not set" >&2
fi
step "file lengths" file_lengths
step "comment openings" comment_openings
step "test names" test_names
if command -v python3 >/dev/null; then
  step "rooms" rooms
  step "acceptance" acceptance
else
  echo "check.sh: rooms and docs/acceptance.md are not checked: no python3"
fi
step "methods" methods
step "migrations" migrations
if command -v shellcheck >/dev/null; then
  step "shell scripts" shell_scripts
else
  echo "check.sh: shell scripts are not checked: shellcheck is not installed"
fi
if command -v systemd-analyze >/dev/null; then step "systemd units" units; fi
if command -v plutil >/dev/null; then
  step "launchd agent" plutil -lint config/launchd/*.plist
elif command -v python3 >/dev/null; then
  step "launchd agent" python3 -c 'import plistlib, sys; plistlib.load(open(sys.argv[1], "rb"))' config/launchd/*.plist
fi

if ((${#failed[@]})); then
  echo "check.sh: FAILED: $(IFS=, && echo "${failed[*]}")" >&2
  exit 1
fi
echo "check.sh: all ok in $SECONDS s"
