#!/usr/bin/env bash
# Installs the real provider CLIs that the tests log in with, into target/clis.
# A second run does nothing. Result: target/clis/bin/{node,codex,claude,kimi}, and next to them openers that do
# nothing, because Kimi starts xdg-open whatever BROWSER says: put that directory first on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/target/clis

# Pinned, because the tests assert what exactly these versions print.
node_version=24.21.0
codex_version=0.169.0
claude_version=2.1.329
kimi_version=2.1.0

case "$(uname -s)" in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) echo "clis.sh: Linux and macOS only" >&2 && exit 69 ;;
esac
case "$(uname -m)" in
x86_64 | amd64) arch=x64 ;;
aarch64 | arm64) arch=arm64 ;;
*) echo "clis.sh: no CLI is published for $(uname -m)" >&2 && exit 69 ;;
esac

stamp="node $node_version, codex $codex_version, claude $claude_version, kimi $kimi_version ($os-$arch) in $dir"
if [[ -f $dir/complete && $(<"$dir/complete") == "$stamp" && -x $dir/bin/kimi ]]; then
  exit 0
fi
if ! command -v npm >/dev/null; then
  echo "clis.sh: npm is missing; install Node.js with npm (apt-get install npm, brew install node)" >&2
  exit 69
fi

echo "clis.sh: installing $stamp"
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
# A home of its own keeps the CLIs' first-run files out of the user's.
home=$(mktemp -d)
trap 'rm -rf "$home"; [[ -f $dir/complete ]] || echo "clis.sh: incomplete; run it again" >&2' EXIT
echo '{"private": true}' >package.json
# No package script runs: the only one that is needed is called by name below.
# The versions are exact, so npm's cache is as good as the registry.
npm_install() {
  npm install --ignore-scripts --save-exact --prefer-offline --fetch-retries=2 --no-audit --no-fund --loglevel=error "$@"
}

# Node first, and then npm on it: npm silently takes an OLDER version of a package whose engines.node does not fit
# the node that npm runs on. The platform package is the same binary that the package "node" would fetch by a script.
npm_install "node-$os-$arch@$node_version"
mkdir bin
ln -s "../node_modules/node-$os-$arch/bin/node" bin/node
export PATH="$dir/bin:$PATH"
npm_install "@openai/codex@$codex_version" "@anthropic-ai/claude-code@$claude_version" \
  "@moonshot-ai/kimi-code@$kimi_version"
# Claude's package is a placeholder until its own script has linked the native binary into place.
node node_modules/@anthropic-ai/claude-code/install.cjs

# Wrappers, not links: the scripts need this very node, whatever PATH their caller has.
for cli in codex kimi; do
  printf '#!/bin/sh\nexec "%s/bin/node" "%s/node_modules/.bin/%s" "$@"\n' "$dir" "$dir" "$cli" >"bin/$cli"
done
ln -s ../node_modules/.bin/claude bin/claude
for opener in open xdg-open x-www-browser www-browser; do
  printf '#!/bin/sh\nexit 0\n' >"bin/$opener"
done
chmod 755 bin/*

# Nothing is complete that does not run.
expect() {
  local printed
  printed=$(env -i HOME="$home" PATH="$dir/bin:/usr/bin:/bin" "$dir/bin/$1" --version 2>/dev/null)
  if [[ $printed != *"$2"* ]]; then
    echo "clis.sh: $1 --version printed '$printed', not $2" >&2
    exit 1
  fi
}
expect node "$node_version"
expect codex "$codex_version"
expect claude "$claude_version"
expect kimi "$kimi_version"
echo "$stamp" >complete
