# shellcheck shell=bash
# Sourced by quickstart.sh and install.sh from the repository's root: what both need.

fail() {
  echo "$(basename "$0"): $1" >&2
  exit "${2:-1}"
}

# srvd's own rules for its directories.
if [[ $(uname -s) == Darwin ]]; then
  support="$HOME/Library/Application Support/srvd"
  config_dir=${SRVD_CONFIG_DIR:-$support}
  data_dir=${SRVD_DATA_DIR:-$support}
  runtime_dir=${SRVD_RUNTIME_DIR:-$data_dir/run}
else
  config_dir=${SRVD_CONFIG_DIR:-${XDG_CONFIG_HOME:-$HOME/.config}/srvd}
  data_dir=${SRVD_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/srvd}
  runtime_dir=${SRVD_RUNTIME_DIR:-${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/srvd}}
  runtime_dir=${runtime_dir:-$data_dir/run}
fi

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

# Prints the files of the service manager that may start srvd for this user. A system's template is for users with a key.
units() {
  local user=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user name place
  name=$(id -un)
  for place in "$user"/srvd.service{,.d/*.conf} /etc/systemd/user/srvd.service{,.d/*.conf} \
    "/etc/systemd/system/srvd@$name.service"{,.d/*.conf} "$HOME/Library/LaunchAgents/dev.srvd.srvd.plist"; do
    if [[ -f $place ]]; then echo "$place"; fi
  done
  for place in "/etc/srvd/$name".{key,cred}; do
    if [[ -e $place ]]; then echo "$place"; fi
  done
}

# Makes the encryption key when there is none anywhere; an existing one is never touched. Returns 1 if the installation has
# a key that this shell cannot see, and sets key_place to the reason. A second key could decrypt nothing.
ensure_key() {
  local unit
  if [[ -n ${OAUTH_ENCRYPTION_KEY:-}${OAUTH_ENCRYPTION_KEY_FILE:-} || -e $config_dir/encryption.key ]]; then return; fi
  while read -r unit; do
    if [[ $unit == /etc/srvd/* ]] ||
      grep -Eq '^[[:space:]]*((Load|Set)Credential(Encrypted)?=oauth_encryption_key|[^#]*OAUTH_ENCRYPTION_KEY)' "$unit"; then
      key_place="$unit has it"
      return 1
    fi
  done < <(units)
  if grep -Eq '^[[:space:]]*keychain[[:space:]]*=[[:space:]]*true' "$config_dir/srvd.toml" 2>/dev/null; then
    key_place="$config_dir/srvd.toml says that the keychain has it"
    return 1
  fi
  if [[ -e $data_dir/srvd.db || -e $data_dir/database.json ]]; then
    key_place="$data_dir has a database, so there is a key somewhere else"
    return 1
  fi
  "$1" key generate
}

# Brings the database up to date. A daemon that runs holds it (75) and does the same when it is started again.
migrate() {
  local code=0
  "$1" --migrate-only || code=$?
  if ((code != 0 && code != 75)); then exit "$code"; fi
}

# Whether a daemon answers; the file alone proves nothing, it can be left over.
running() { [[ -f $runtime_dir/endpoint.json ]] && "$1" wait --timeout 1 >/dev/null 2>&1; }

endpoint() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" "$runtime_dir/endpoint.json" | head -n 1; }
