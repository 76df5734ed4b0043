# shellcheck shell=bash
# Sourced by release.sh and nightly.sh from the repository's root: the tools that build for other targets, in pinned versions
# under target/tools.

zigbuild_version=0.24.1
zig_version=0.16.0
tools=$PWD/target/tools

# Installs a cargo tool in exactly this version.
tool() {
  if grep -q "^\"$1 $2 " "$tools/.crates.toml" 2>/dev/null && [[ -x $tools/bin/$1 ]]; then return; fi
  echo "$(basename "$0"): installing $1 $2" >&2
  cargo install "$1" --version "$2" --locked --quiet --root "$tools"
}

# Installs zig, which is the C compiler and the linker, and cargo-zigbuild, which calls it.
zig() {
  local place=$tools/ziglang-$zig_version
  tool cargo-zigbuild "$zigbuild_version"
  if [[ ! -x $place/ziglang/zig ]]; then
    echo "$(basename "$0"): installing zig $zig_version" >&2
    rm -rf "$place" "$place.new"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$place.new" "ziglang==$zig_version"
    mv "$place.new" "$place"
  fi
  export CARGO_ZIGBUILD_ZIG_PATH=$place/ziglang/zig
}

# Installs the standard library of a target. A toolchain without rustup must have it.
standard_library() {
  if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$1"; then rustup target add "$1"; fi
}
