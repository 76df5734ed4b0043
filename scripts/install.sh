#!/usr/bin/env bash
# Installs srvd for this user: the release binary in ~/.local/bin (or $PREFIX/bin), a key when there is none, the
# database brought up to date. Configuration that is there is never touched: a key that a service or the keychain has is not
# made again, and a unit that was edited stays, with the new one beside it as NAME.new.
#   --service   also installs and starts the user service (systemd user unit, launchd agent)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

service=
case ${1:-} in
'') ;;
--service) service=yes ;;
*) fail "usage: [PREFIX=DIR] install.sh [--service]" 64 ;;
esac
bin=${PREFIX:-$HOME/.local}/bin

sum() { { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1; }

# Writes $1 with the real paths to $2, unless $2 was edited since this script wrote it. The sum of what was written is in a
# file beside it.
write_unit() {
  local text mark=$2.sum
  mkdir -p "$(dirname "$2")"
  text=$(sed -e "s|%h/.local/bin|$bin|g" -e "s|@BIN@|$bin|g" -e "s|@HOME@|$HOME|g" "$1")
  if [[ -e $2 ]] && [[ "$(cat "$2")" != "$text" ]] && [[ "$(cat "$mark" 2>/dev/null)" != "$(sum <"$2")" ]]; then
    printf '%s\n' "$text" >"$2.new"
    echo "Kept $2, which was edited; the new one is $2.new"
    return
  fi
  printf '%s\n' "$text" >"$2"
  sum <"$2" >"$mark"
  echo "Wrote $2"
}

install_systemd() {
  local user
  user=$(id -un)
  if systemctl --quiet is-enabled "srvd@$user" 2>/dev/null; then
    echo "The system's unit srvd@$user starts srvd for you already. To use the new program: sudo systemctl restart srvd@$user"
    return
  fi
  write_unit config/systemd/srvd.service "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/srvd.service"
  systemctl --user daemon-reload
  systemctl --user enable srvd
  # A restart, so that a service that runs already takes the new binary.
  systemctl --user restart srvd
  echo "Started. Log: journalctl --user -u srvd. To run it without a login session: loginctl enable-linger"
}

install_launchd() {
  local agent=$HOME/Library/LaunchAgents/dev.srvd.srvd.plist
  mkdir -p "$HOME/Library/Logs"
  (umask 077 && touch "$HOME/Library/Logs/srvd.log")
  write_unit config/launchd/dev.srvd.srvd.plist "$agent"
  # Not loaded yet is no error.
  launchctl bootout "gui/$(id -u)/dev.srvd.srvd" 2>/dev/null || true
  launchctl bootstrap "gui/$(id -u)" "$agent"
  echo "Started. Log: $HOME/Library/Logs/srvd.log"
}

program=$(build release)
mkdir -p "$bin"
# A new file and a rename: a running daemon keeps the old one, and nobody sees half a binary.
cp "$program" "$bin/.srvd.new"
chmod 755 "$bin/.srvd.new"
mv -f "$bin/.srvd.new" "$bin/srvd"
# A key that this shell cannot see (78) is never replaced. A daemon that runs (75) migrates when it is started again.
if "$bin/srvd" key generate --if-missing; then
  code=0
  "$bin/srvd" --migrate-only || code=$?
  if ((code != 0 && code != 75)); then exit "$code"; fi
elif (($? == 78)); then
  echo "The service brings the database up to date."
else
  exit 1
fi
echo "Installed $bin/srvd ($("$bin/srvd" --version))"
case :$PATH: in
*:$bin:*) ;;
*) echo "$bin is not on your PATH" ;;
esac

if [[ -z $service ]]; then
  echo "Start it with: srvd up (or install the service: scripts/install.sh --service)"
elif [[ $(uname -s) == Darwin ]]; then
  install_launchd
elif command -v systemctl >/dev/null; then
  install_systemd
else
  fail "systemd is not available; start srvd manually" 69
fi
