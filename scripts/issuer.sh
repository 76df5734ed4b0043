#!/usr/bin/env bash
# Installs the certified OpenID provider that the tests log in at, into target/issuer. A second run does nothing.
# Needs npm; the tests run it with the node of target/clis, else with the one on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${SRVD_TEST_ISSUER:-$PWD/target/issuer}
# Pinned, because the tests assert what exactly this version answers.
version=9.13.3

stamp="oidc-provider $version"
if [[ -f $dir/complete && $(<"$dir/complete") == "$stamp" ]]; then exit 0; fi
if ! command -v npm >/dev/null; then
  echo "issuer.sh: npm is missing; install Node.js with npm (apt-get install npm, brew install node)" >&2
  exit 69
fi
mkdir -p "$dir"
cd "$dir"
rm -rf node_modules package.json package-lock.json complete
echo '{"private": true}' >package.json
# No package script runs. The version is exact, so npm's cache is as good as the registry.
npm install --ignore-scripts --save-exact --prefer-offline --fetch-retries=2 --no-audit --no-fund --loglevel=error \
  "oidc-provider@$version"
echo "$stamp" >complete
echo "issuer.sh: $stamp in $dir, $(du -sh "$dir" | cut -f1)"
