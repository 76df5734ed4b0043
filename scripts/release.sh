#!/usr/bin/env bash
# Builds the files of a release into dist/. It needs the network only for tools and crates that are not here yet.
#
#   scripts/release.sh [--profile NAME] [--targets "TRIPLE ..."] [--only "PART ..."] [--out DIR]
#
#   --profile  the Cargo profile: release by default; `try` builds in a fraction of the time, for tests of the packages
#   --targets  by default x86_64- and aarch64-unknown-linux-musl and x86_64-unknown-linux-gnu on Linux, and both
#              architectures on macOS; "" builds no program, for parts that only need the archives in dist/
#   --only     parts of: archives deb rpm npm container homebrew sbom (all by default)
#   --out      the directory in place of dist/; it is emptied first unless no program is built
#
#   SRVD_RELEASE_URL   the URL of the directory that the archives are downloaded from; it is written into the Homebrew formula
#   SRVD_HOMEPAGE      the project's page, for the same
#
# The musl programs are static, and the glibc program runs with glibc 2.31 or newer. The packages contain the musl program.
# Tools are installed under target/tools, in the versions below.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "release.sh: $1" >&2
  exit "${2:-1}"
}

# shellcheck source=scripts/cross.sh
. scripts/cross.sh
auditable_version=0.7.7
deb_version=3.8.0
rpm_version=0.21.1
cyclonedx_version=0.5.9
glibc=2.31

profile=release
dist=$PWD/dist
only="archives deb rpm npm container homebrew sbom"
if [[ $(uname -s) == Darwin ]]; then
  targets="aarch64-apple-darwin x86_64-apple-darwin"
else
  targets="x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-unknown-linux-gnu"
fi
while (($#)); do
  case $1:${2+value} in
  --profile:value) profile=$2 ;;
  --targets:value) targets=$2 ;;
  --only:value) only=$2 ;;
  --out:value) dist=$2 ;;
  *) fail "usage: release.sh [--profile NAME] [--targets \"TRIPLE ...\"] [--only \"PART ...\"] [--out DIR]" 64 ;;
  esac
  shift 2
done
for part in $only; do
  case $part in
  archives | deb | rpm | npm | container | homebrew | sbom) ;;
  *) fail "unknown part: $part" 64 ;;
  esac
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
stage=$PWD/target/stage
release_url=${SRVD_RELEASE_URL:-https://example.com/srvd/releases/download/v$version}
homepage=${SRVD_HOMEPAGE:-https://example.com/srvd}
# Archives and packages of one commit have the same dates.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
tar=$(command -v gtar || command -v tar)

wants() { [[ " $only " == *" $1 "* ]]; }

has_target() { [[ " $targets " == *" $1 "* ]]; }

program() { echo "$target_dir/$1/$profile/srvd"; }

# Builds the program for a target, with the list of its dependencies inside (`cargo audit bin`).
compile() {
  local target=$1 started=$SECONDS
  standard_library "$target"
  # No path of this machine is left in the program.
  export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$PWD=/srvd"$'\x1f'"--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  export CARGO_ENCODED_RUSTFLAGS+=$'\x1f'"--remap-path-prefix=${RUSTUP_HOME:-$HOME/.rustup}=/rustup"
  case $target in
  *-linux-musl) cargo auditable zigbuild --target "$target" --profile "$profile" --locked -p srvd ;;
  *-linux-gnu) cargo auditable zigbuild --target "$target.$glibc" --profile "$profile" --locked -p srvd ;;
  *) cargo auditable build --target "$target" --profile "$profile" --locked -p srvd ;;
  esac
  unset CARGO_ENCODED_RUSTFLAGS
  echo "release.sh: $target: $(wc -c <"$(program "$target")") bytes, $((SECONDS - started)) s"
}

# Prints a target whose program runs here.
native() {
  local target
  for target in $targets; do
    if "$(program "$target")" --version >/dev/null 2>&1; then
      echo "$target"
      return
    fi
  done
  fail "no target of \"$targets\" runs on this machine, so there is no program to make the manual pages with" 69
}

# Packs a directory of the stage, or only what is in it if $2 is a dot. The same content gives the same bytes.
pack() {
  "$tar" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu \
    -C "$stage/${2:+$1}" -cf - "${2:-$1}" |
    gzip -9n >"$dist/$1.tar.gz"
}

# What every package contains beside the program: pages, completions, units.
stage_files() {
  local run shell
  run=$(program "$(native)")
  mkdir -p "$stage/man" "$stage/completions" "$stage/systemd/user" "$stage/systemd/system"
  "$run" man --out "$stage/man"
  for shell in bash:srvd.bash zsh:_srvd fish:srvd.fish; do
    "$run" completions "${shell%%:*}" >"$stage/completions/${shell#*:}"
  done
  # The units are those of config/, with the path of the package's program.
  sed 's|%h/.local/bin/srvd|/usr/bin/srvd|g' config/systemd/srvd.service >"$stage/systemd/user/srvd.service"
  sed 's|/usr/local/bin/srvd|/usr/bin/srvd|g' config/systemd/srvd@.service >"$stage/systemd/system/srvd@.service"
  chmod -R u=rwX,go=rX "$stage"
}

archive() {
  local name=srvd-$version-$1 place
  place=$stage/$name
  mkdir -p "$place"
  cp "$(program "$1")" README.md CHANGELOG.md LICENSE "$place"
  cp -R "$stage/man" "$stage/completions" config/systemd config/launchd "$place"
  chmod -R u=rwX,go=rX "$place"
  chmod 755 "$place/srvd"
  pack "$name"
}

npm_package() {
  local place=$1
  # npm sets the date of each file itself, so the archive is the same for the same content.
  npm pack --silent --ignore-scripts --pack-destination "$dist" "$place" >/dev/null
}

npm_platform() {
  local target=$1 os cpu place
  case $target in
  *-linux-musl) os=linux ;;
  *-apple-darwin) os=darwin ;;
  *) return 0 ;;
  esac
  if [[ $target == aarch64-* ]]; then cpu=arm64; else cpu=x64; fi
  place=$stage/npm/$os-$cpu
  mkdir -p "$place/bin"
  cp "$(program "$target")" "$place/bin/srvd"
  chmod 755 "$place/bin/srvd"
  cp LICENSE "$place"
  sed -e "s|@VERSION@|$version|" -e "s|@PLATFORM@|$os-$cpu|" -e "s|@OS@|$os|" -e "s|@CPU@|$cpu|" \
    packaging/npm/platform/package.json >"$place/package.json"
  npm_package "$place"
}

npm_main() {
  cp -R packaging/npm/srvd "$stage/npm/srvd"
  cp LICENSE "$stage/npm/srvd"
  sed "s|@VERSION@|$version|" packaging/npm/srvd/package.json >"$stage/npm/srvd/package.json"
  npm_package "$stage/npm/srvd"
}

container() {
  local name=srvd-$version-container pair
  local place=$stage/$name
  mkdir -p "$place/data" "$place/run"
  cp packaging/container/{Dockerfile,compose.yaml} "$place"
  # Directories that are empty in the image; the file keeps them in every kind of build context.
  touch "$place/data/.keep" "$place/run/.keep"
  for pair in amd64:x86_64 arm64:aarch64; do
    if has_target "${pair#*:}-unknown-linux-musl"; then
      mkdir -p "$place/${pair%%:*}"
      cp "$(program "${pair#*:}-unknown-linux-musl")" "$place/${pair%%:*}/srvd"
    fi
  done
  chmod -R u=rwX,go=rX "$place"
  # `docker build -` expects the Dockerfile at the top.
  pack "$name" .
}

# The checksums of archives that are not built on this machine stay as they are in the template: the release workflow runs
# this part when all archives are in dist/.
homebrew() {
  local file target
  sed -e "s|@VERSION@|$version|g" -e "s|@URL@|$release_url|g" -e "s|@HOMEPAGE@|$homepage|g" \
    packaging/homebrew/srvd.rb >"$stage/srvd.rb"
  for file in "$dist/srvd-$version"-*.tar.gz; do
    target=${file##*/srvd-"$version"-}
    target=${target%.tar.gz}
    sed "s|@SHA256_$target@|$(sha256 "$file")|" "$stage/srvd.rb" >"$stage/srvd.rb.new"
    mv "$stage/srvd.rb.new" "$stage/srvd.rb"
  done
  cp "$stage/srvd.rb" "$dist/srvd.rb"
  if grep -q '@SHA256_' "$dist/srvd.rb"; then
    echo "release.sh: srvd.rb lacks the checksums of: $(grep -o '@SHA256_[^@]*@' "$dist/srvd.rb" | sed 's/@SHA256_\(.*\)@/\1/' | tr '\n' ' ')"
  fi
}

sha256() { { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -d ' ' -f 1; }

# cargo-cyclonedx writes beside each manifest of the workspace.
sbom() {
  local target=$1
  cargo cyclonedx --manifest-path crates/srvd/Cargo.toml --format json --target "$target" --override-filename srvd-sbom
  sed "s|$PWD|/srvd|g" crates/srvd/srvd-sbom.json >"$dist/srvd-$version-$target.cdx.json"
  rm -f crates/*/srvd-sbom.json bench/srvd-sbom.json
}

checksums() (
  cd "$dist"
  rm -f SHA256SUMS
  for file in *; do printf '%s  %s\n' "$(sha256 "$file")" "$file"; done >"$stage/SHA256SUMS"
  mv "$stage/SHA256SUMS" SHA256SUMS
)

PATH=$tools/bin:$PATH
if [[ $targets ]]; then
  tool cargo-auditable "$auditable_version"
  if [[ $targets == *-linux-* ]]; then zig; fi
  rm -rf "$dist"
fi
rm -rf "$stage"
mkdir -p "$stage" "$dist"
dist=$(cd "$dist" && pwd)

for target in $targets; do compile "$target"; done
if [[ $targets ]]; then stage_files; fi

musl=()
for target in $targets; do
  if [[ $target == *-linux-musl ]]; then musl+=("$target"); fi
done
if wants archives; then
  for target in $targets; do archive "$target"; done
fi
if wants deb && ((${#musl[@]})); then
  tool cargo-deb "$deb_version"
  for target in "${musl[@]}"; do
    cargo deb -p srvd --no-build --no-strip --quiet --target "$target" --profile "$profile" -o "$dist"
  done
fi
if wants rpm && ((${#musl[@]})); then
  tool cargo-generate-rpm "$rpm_version"
  for target in "${musl[@]}"; do
    cargo generate-rpm -p crates/srvd --target "$target" --profile "$profile" --target-dir "$target_dir" \
      --auto-req disabled --source-date "$SOURCE_DATE_EPOCH" -o "$dist"
  done
fi
if wants npm && [[ $targets ]]; then
  for target in $targets; do npm_platform "$target"; done
  npm_main
fi
if wants container && ((${#musl[@]})); then container; fi
if wants sbom && [[ $targets ]]; then
  tool cargo-cyclonedx "$cyclonedx_version"
  for target in $targets; do sbom "$target"; done
fi
if wants homebrew; then homebrew; fi
checksums
ls -l "$dist"
echo "release.sh: done in $SECONDS s"
