# shellcheck shell=bash
# Sourced by quickstart.sh and install.sh from the repository's root: what both need.

fail() {
  echo "$(basename "$0"): $1" >&2
  exit "${2:-1}"
}

# Builds the program with a profile of Cargo.toml and prints its path; cargo's own output goes to standard error.
build() {
  local profile=$1 wanted found
  if ! command -v cargo >/dev/null; then fail "cargo is missing; install Rust: https://rustup.rs" 69; fi
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  found=$(cargo --version | awk '{ print $2 }')
  if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
    fail "Rust $found is too old; $wanted is required. Run: rustup update stable" 69
  fi
  if ! command -v cc >/dev/null; then
    fail "a C compiler is missing (SQLite is built from source); install one: apt-get install build-essential, or xcode-select --install" 69
  fi
  # Bash forgets "set -e" inside $(..), hence the "&&".
  cargo build --profile "$profile" --locked -p srvd &&
    echo "${CARGO_TARGET_DIR:-$PWD/target}/$profile/srvd"
}
