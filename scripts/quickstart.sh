#!/usr/bin/env bash
# From a checkout to a running daemon: builds, makes a key, brings the database up to date, starts. Run it again at any
# time; what is there is kept, and a daemon that runs is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

program=$(build try)
shown=${program#"$PWD"/}
"$program" up
echo "Here the program is $shown; stop the daemon with: $shown down. After a new build: $shown restart"
