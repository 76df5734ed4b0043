#!/usr/bin/env bash
# Installs the real provider CLIs that the tests drive, into target/clis. A second run does nothing.
#
#   scripts/clis.sh            the pinned versions
#   scripts/clis.sh --newest   the newest versions, into target/clis-newest; the file `versions` there lists
#                              each program with its pinned and its newest version
#
#   bin/            node and the CLIs from npm, which are required; next to them openers that do nothing, because some
#                   CLIs start xdg-open whatever BROWSER says: put that directory first on PATH
#   gh/bin/         gh, the one of this machine or Debian's
#   pi-old/bin/     pi under the npm name that it had before 1.0
#   kimi-cli/bin/   the old `kimi` from PyPI, in a directory of its own because Kimi Code has the same name
#   kimi-tombstone/bin/   the last release of kimi-cli, which only says that it is no longer maintained
#   cline/bin/ and so on  CLIs that come as a program for each system, each in a directory of its own
#
# Some CLIs need something that not every machine has. What is absent is said in one line here and in the file
# `absent`, and the tests that need it say that they skip. Without a registry and without an earlier installation the
# script says so and exits with 69.
set -euo pipefail
cd "$(dirname "$0")/.."

newest=
case "${1:-}" in
"") ;;
--newest) newest=1 ;;
*) echo "usage: scripts/clis.sh [--newest]" >&2 && exit 64 ;;
esac
dir=$PWD/target/clis${newest:+-newest}

# Pinned, because the tests assert what exactly these versions print. Each line: binary, npm package, version.
node_version=24.21.0
packages="codex    @openai/codex                 0.171.0
claude   @anthropic-ai/claude-code     2.1.332
kimi     @moonshot-ai/kimi-code        2.1.0
gemini   @google/gemini-cli            0.61.0
copilot  @github/copilot               1.0.102
openclaw openclaw                      2026.9.6
qwen     @qwen-code/qwen-code          0.24.4
opencode opencode-ai                   1.18.33
pi       @earendil-works/pi-coding-agent 1.6.0
amp      @sourcegraph/amp              0.0.1790142911-g7618fb"
# The same program under its earlier package name, which many machines still have.
old_pi=@mariozechner/pi-coding-agent
old_pi_version=0.73.1
kimi_cli_version=1.51.0
kimi_tombstone_version=1.52.0

case "$(uname -s)" in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) echo "clis.sh: only Linux and macOS are supported" >&2 && exit 69 ;;
esac
case "$(uname -m)" in
x86_64 | amd64) arch=x64 ;;
aarch64 | arm64) arch=arm64 ;;
*) echo "clis.sh: no CLI is published for $(uname -m)" >&2 && exit 69 ;;
esac

# Each in a directory of its own, because a mirror may lack the program of one system. Each line: binary, npm package,
# version. Where the package only finds the program of the system, that program's package stands here.
single="cline    cline                          3.0.65
grok     @xai-official/grok             1.0.41
kilo     @kilocode/cli-$os-$arch        7.7.9
auggie   @augmentcode/auggie            0.36.0
droid    @factory/cli-$os-$arch         0.225.2
qodercli @qoder-ai/qodercli             1.1.52
cn       @continuedev/cli               1.5.47"

# Prints the lines of a list with the newest version in place of the pinned one.
newest_of() {
  local cli package pinned version
  while read -r cli package pinned; do
    version=$(npm view --fetch-retries=1 --loglevel=error "$package" version 2>/dev/null | tail -1) || version=
    if [[ -z $version ]]; then
      echo "clis.sh: the registry does not answer for $package; the pinned $pinned is taken" >&2
      version=$pinned
    fi
    echo "$cli $package $version $pinned"
  done
}

if [[ -n $newest ]]; then
  if ! command -v npm >/dev/null || ! npm view --fetch-retries=1 --loglevel=error npm version >/dev/null 2>&1; then
    echo "clis.sh: no npm registry can be reached, so the newest versions are not known" >&2
    exit 69
  fi
  mkdir -p "$dir"
  packages=$(newest_of <<<"$packages")
  single=$(newest_of <<<"$single")
  awk '{ print $1, $4, $3 }' <<<"$packages
$single" >"$dir/versions"
fi

versions=$(awk -v node="$node_version" 'BEGIN { printf "node %s", node } { printf ", %s %s", $1, $3 }' <<<"$packages")
versions+=", old pi $old_pi_version"
stamp="$versions ($os-$arch) in $dir"
kimi_stamp="kimi-cli $kimi_cli_version, $kimi_tombstone_version in $dir"

# A home of its own keeps the CLIs' first-run files out of the user's.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT

# No package script runs: those that are needed are called by name below.
# The versions are exact, so npm's cache is as good as the registry.
npm_install() {
  npm install --ignore-scripts --save-exact --prefer-offline --fetch-retries=2 --no-audit --no-fund --loglevel=error "$@"
}

# Nothing is complete that does not run. The cache is one for all, because Copilot unpacks 235 MB there.
expect() {
  local printed
  printed=$(env -i HOME="$home" XDG_CACHE_HOME="$home/cache" PATH="$dir/bin:/usr/bin:/bin" "$1" --version 2>&1) || true
  if [[ $printed != *"$2"* ]]; then
    echo "clis.sh: $1 --version printed '$printed', not $2" >&2
    return 1
  fi
}

# Wrappers, not links: the scripts need this very node, whatever PATH their caller has.
node_wrapper() {
  local wrapper=$1 script=$2
  printf '#!/bin/sh\nexec "%s/bin/node" "%s/node_modules/%s" "$@"\n' "$dir" "$dir" "$script" >"$wrapper"
}

install_npm() {
  cd "$dir"
  rm -rf bin pi-old node_modules package.json package-lock.json complete
  echo '{"private": true}' >package.json
  # Node first, and then npm on it: npm silently takes an OLDER version of a package whose engines.node does not fit
  # the node that npm runs on. The platform package is the same binary that the package "node" would fetch by a script.
  npm_install "node-$os-$arch@$node_version"
  mkdir -p bin pi-old/bin
  ln -s "../node_modules/node-$os-$arch/bin/node" bin/node
  local PATH="$dir/bin:$PATH" exact
  exact=$(awk '{ print $2 "@" $3 }' <<<"$packages")
  # shellcheck disable=SC2086 # one word per package
  npm_install $exact "$old_pi@$old_pi_version"
  # Placeholders until their own scripts have linked the native binary into place.
  node node_modules/@anthropic-ai/claude-code/install.cjs
  node node_modules/opencode-ai/postinstall.mjs
  (cd node_modules/@ampcode/cli && node install.cjs)
  # OpenCode comes once for each kind of processor and C library, 180 MB each; the one that fits is linked now.
  rm -rf node_modules/opencode-"$os"-*

  for cli in codex kimi gemini copilot openclaw qwen; do
    node_wrapper "bin/$cli" ".bin/$cli"
  done
  # Two packages bring a `pi`, so npm's own links name only one of them.
  node_wrapper bin/pi @earendil-works/pi-coding-agent/dist/bundle/cli.js
  node_wrapper pi-old/bin/pi "$old_pi/dist/cli.js"
  for cli in claude opencode amp; do
    ln -s "../node_modules/.bin/$cli" "bin/$cli"
  done
  for opener in open xdg-open x-www-browser www-browser; do
    printf '#!/bin/sh\nexit 0\n' >"bin/$opener"
  done
  chmod 755 bin/* pi-old/bin/*

  expect "$dir/bin/node" "$node_version"
  while read -r cli _ version _; do
    expect "$dir/bin/$cli" "$version"
  done <<<"$packages"
  expect "$dir/pi-old/bin/pi" "$old_pi_version"
  echo "$stamp" >complete
}

# Installs one CLI into a directory of its own, and the newest Node stays that of bin/.
install_single() {
  local cli=$1 package=$2 version=$3 modules script
  cd "$dir"
  rm -rf "$cli"
  mkdir -p "$cli/bin"
  echo '{"private": true}' >"$cli/package.json"
  cd "$cli"
  PATH="$dir/bin:$PATH" npm_install "$package@$version" >&2 || { echo "$package $version could not be downloaded" && return 1; }
  cd "$dir"
  modules=$dir/$cli/node_modules
  case $cli in
  grok)
    # Its start script would put the program into the user's directory, 166 MB.
    "$dir/bin/node" -e '
      const [from, to] = process.argv.slice(1);
      const zlib = require("zlib"), fs = require("fs");
      fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)), { mode: 0o755 });
    ' "$modules/$package-$os-$arch/bin/grok.br" "$cli/bin/grok" || { echo "grok has no program for $os-$arch" && return 1; }
    ;;
  kilo | droid) ln -s "../node_modules/$package/bin/$cli" "$cli/bin/$cli" ;;
  *)
    case $cli in
    cline) script=cline/bin/cline ;;
    *) script=.bin/$cli ;;
    esac
    # The base directory's Node, whatever PATH the caller has.
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/%s" "$@"\n' "$dir" "$modules" "$script" >"$cli/bin/$cli"
    chmod 755 "$cli/bin/$cli"
    ;;
  esac
  expect "$dir/$cli/bin/$cli" "$version" || { echo "$cli does not run" && return 1; }
  echo "$cli $version in $dir" >"$cli/complete"
}

# The newest Python that kimi-cli supports, or nothing.
find_python() {
  local python
  for python in python3.13 python3.12 ~/.pyenv/versions/3.1[23]*/bin/python3 python3; do
    if "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
}

install_kimi_cli() {
  local python
  python=$(find_python)
  [[ -n $python ]] || { echo "no Python 3.12 or newer" && return 1; }
  cd "$dir"
  rm -rf kimi-cli kimi-tombstone
  mkdir -p kimi-cli/bin kimi-tombstone/bin
  # Wheels only, so that nothing of a package runs here; ripgrepy is published as source alone.
  local pip=(kimi-cli/venv/bin/python -m pip install --quiet --no-input --retries 2 --only-binary :all:)
  "$python" -m venv kimi-cli/venv >&2
  "${pip[@]}" --no-binary ripgrepy "kimi-cli==$kimi_cli_version" >&2 || { echo "kimi-cli could not be downloaded from PyPI" && return 1; }
  # The tombstone alone, over the packages of the other one.
  "${pip[@]}" --no-deps --target kimi-tombstone/lib "kimi-cli==$kimi_tombstone_version" >&2 ||
    { echo "the last kimi-cli could not be downloaded from PyPI" && return 1; }
  ln -s ../venv/bin/kimi kimi-cli/bin/kimi
  printf '#!/bin/sh\nPYTHONPATH="%s/kimi-tombstone/lib" exec "%s/kimi-cli/venv/bin/python" -m kimi_cli "$@"\n' \
    "$dir" "$dir" >kimi-tombstone/bin/kimi
  chmod 755 kimi-tombstone/bin/kimi
  expect "$dir/kimi-cli/bin/kimi" "$kimi_cli_version" || { echo "kimi-cli does not run" && return 1; }
  expect "$dir/kimi-tombstone/bin/kimi" "no longer maintained" || { echo "kimi-cli does not run" && return 1; }
  echo "$kimi_stamp" >kimi-cli/complete
}

install_gh() {
  cd "$dir"
  rm -rf gh
  mkdir -p gh/bin gh/deb
  if command -v gh >/dev/null; then
    ln -s "$(command -v gh)" gh/bin/gh
  elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    (cd gh/deb && apt-get -qq download gh >&2) || { echo "gh is not installed, and apt-get could not download it" && return 1; }
    dpkg-deb -x gh/deb/gh_*.deb gh/deb
    ln -s ../deb/usr/bin/gh gh/bin/gh
  else
    echo "gh is not installed, and there is no apt-get to download it"
    return 1
  fi
  expect "$dir/gh/bin/gh" "gh version" || { echo "gh does not run" && return 1; }
  touch gh/complete
}

# Runs an optional part; its last line of output says why it is absent.
optional() {
  local name=$1 reason
  shift
  if ! reason=$("$@" 2>"$home/$name.log"); then
    cat "$home/$name.log" >&2
    echo "$name: ${reason##*$'\n'}" >"$dir/absent.$name"
  fi
}

mkdir -p "$dir"
rm -f "$dir"/absent "$dir"/absent.*
started=$SECONDS
jobs=()
if [[ ! -f $dir/gh/complete ]]; then
  optional gh install_gh &
  jobs+=($!)
fi
if [[ ! -f $dir/kimi-cli/complete || $(<"$dir/kimi-cli/complete") != "$kimi_stamp" ]]; then
  optional kimi-cli install_kimi_cli &
  jobs+=($!)
fi
if [[ ! -f $dir/complete || $(<"$dir/complete") != "$stamp" || ! -x $dir/bin/amp ]]; then
  if ! command -v npm >/dev/null; then
    echo "clis.sh: npm is missing; install Node.js with npm (apt-get install npm, brew install node)" >&2
    exit 69
  fi
  echo "clis.sh: installing $stamp"
  (install_npm) &
  npm_job=$!
  # `wait` of the job by its id, so that a failure ends this script too.
  wait "$npm_job" || { echo "clis.sh: incomplete; run it again" >&2 && exit 1; }
fi
for job in "${jobs[@]+"${jobs[@]}"}"; do
  wait "$job"
done
# One after the other, because npm's cache is one for all and each of them is quick.
while read -r cli package version _; do
  if [[ ! -f $dir/$cli/complete || $(<"$dir/$cli/complete") != "$cli $version in $dir" ]]; then
    optional "$cli" install_single "$cli" "$package" "$version" </dev/null
  fi
done <<<"$single"
if compgen -G "$dir/absent.*" >/dev/null; then
  cat "$dir"/absent.* >"$dir/absent"
  rm -f "$dir"/absent.*
  sed 's/^/clis.sh: ABSENT, and its tests will be skipped: /' "$dir/absent" >&2
fi
if ((SECONDS - started > 2)); then
  echo "clis.sh: ready after $((SECONDS - started)) s, $(du -sh "$dir" | cut -f1)"
fi
