#!/usr/bin/env bash
# Tests the packages: builds them with the profile `try`, installs each one into an empty place, works with it, and removes it.
# Prints the seconds of each channel. Runs as root on Linux, because it uses chroot, mount and debootstrap.
#
#   scripts/packages.sh [--built] [CHANNEL ...]
#
#   --built   tests the packages that are in dist/ already; others are built in target/packages
#   CHANNEL   one of x64, arm64 (the archives), deb, npm, rpm, container; all by default
#
# Exit code: 0 if everything passed, 69 when something that is needed is missing. A channel that cannot run here is skipped in
# one line, unless CI=true. It ends only what it started.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "packages.sh: $1" >&2
  exit "${2:-1}"
}

built=
if [[ ${1:-} == --built ]]; then
  built=yes
  shift
fi
channels=${*:-x64 arm64 deb npm rpm container}
for channel in $channels; do
  case $channel in
  x64 | arm64 | deb | npm | rpm | container) ;;
  *) fail "usage: packages.sh [--built] [CHANNEL ...], of: x64 arm64 deb npm rpm container" 64 ;;
  esac
done
[[ $(uname -s) == Linux ]] || fail "the packages are tested on Linux only" 69
[[ $(id -u) == 0 ]] || fail "chroot and mount need root" 69

x64=x86_64-unknown-linux-musl
arm64=aarch64-unknown-linux-musl
dist=$PWD/target/packages
if [[ $built ]]; then dist=$PWD/dist; fi
# shellcheck source=scripts/cross.sh
. scripts/cross.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
secret=sk-proj-packages-0123456789abcdefghijklmnopqrstuv

apt_install() {
  echo "packages.sh: installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null; }
}

need() {
  command -v "$1" >/dev/null || { command -v apt-get >/dev/null && apt_install "$2"; } || fail "$1 is missing (Debian: $2)" 69
}

skip() {
  if [[ ${CI:-} == true ]]; then fail "$1"; fi
  echo "packages.sh: SKIPPED: $1"
}

work=$(mktemp -d)
chmod 755 "$work"
declare -A started=()
mounted=()
registered=

clean() {
  local code=$? pid place
  trap - EXIT
  for pid in "${!started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  if [[ -n $registered ]]; then echo -1 >"/proc/sys/fs/binfmt_misc/$registered"; fi
  for ((place = ${#mounted[@]} - 1; place >= 0; place--)); do umount "${mounted[place]}" || true; done
  rm -rf --one-file-system "$work"
  exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mount_at() {
  local place=${*: -1}
  mount "$@"
  mounted+=("$place")
}

# Runs a channel and prints its seconds. A package that was not built is skipped.
channel() {
  local name=$1 begun=$EPOCHREALTIME
  if ! compgen -G "$3" >/dev/null; then
    skip "$name: $3 is not there"
    return
  fi
  "$2"
  awk -v name="$name" -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN { printf "packages.sh: %s: ok (%.1f s)\n", name, to - from }'
}

same() {
  if [[ $2 != "$3" ]]; then fail "$1: expected: $2; found: $3"; fi
}

# Runs a command and shows its output only if it fails.
quietly() {
  local code=0
  "$@" >"$work/output" 2>&1 || code=$?
  if ((code != 0)); then
    cat "$work/output" >&2
    fail "$* failed with $code"
  fi
}

# The program that `srvd exec` starts: static, because the place is empty. It prints the key of the bundle.
show() {
  echo 'fn main() { println!("{}", std::env::var("OPENAI_API_KEY").unwrap_or_default()); }' >"$work/show.rs"
  standard_library "$1"
  rustc --target "$1" -C linker=rust-lld -C linker-flavor=ld.lld -C link-self-contained=yes -C panic=abort \
    -o "$2" "$work/show.rs"
}

# A day with srvd. $1 is the path of `show` there; the others start the program in its place, with a home of its own.
session() {
  local shown=$1 daemon code=0
  shift
  same "--version" "srvd $version" "$("$@" --version)"
  [[ -n ${has_key:-} ]] || quietly "$@" key generate
  "$@" >"$work/daemon.log" 2>&1 </dev/null &
  daemon=$!
  started[$daemon]=yes
  if ! "$@" wait --timeout 60; then
    cat "$work/daemon.log" >&2
    fail "the daemon did not start"
  fi
  quietly "$@" add-key openai --bundle work --new --no-validate <<<"$secret"
  same "the key in a launch" "$secret" "$("$@" exec --bundle work -- "$shown" 2>"$work/exec.log")"
  quietly "$@" status
  kill "$daemon"
  wait "$daemon" || code=$?
  same "the daemon's exit code" 0 "$code"
  unset "started[$daemon]"
}

# Prints the start of a command for a program in another root.
in_root() {
  root=("${clear[@]}" HOME=/home/user PATH=/usr/bin:/bin "$chroot" --userspec=1000:1000 "$1" "$2")
}
clear=(env -i LANG=C.UTF-8)
# By its path, because the environment of the program has another PATH.
chroot=$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)

# A root with nothing but the program and /proc, which the daemon needs.
empty_root() {
  local target=$1 root=() place=$work/$1
  mkdir -p "$place/bin" "$place/home/user"
  tar -xzOf "$dist/srvd-$version-$target.tar.gz" "srvd-$version-$target/srvd" >"$place/bin/srvd"
  chmod 755 "$place/bin/srvd"
  mkdir "$place/proc"
  mount_at -t proc proc "$place/proc"
  chmod 700 "$place/home/user" && chown 1000:1000 "$place/home/user"
  show "$target" "$place/bin/show"
  in_root "$place" /bin/srvd
  session /bin/show "${root[@]}"
}

archive_x64() { empty_root "$x64"; }
archive_arm64() { empty_root "$arm64"; }

# The kernel starts programs for arm64 by qemu, also in a root without qemu (flag F).
emulation() {
  local dir=/proc/sys/fs/binfmt_misc file
  need qemu-aarch64-static qemu-user-static
  if [[ ! -e $dir/register ]]; then
    mount -t binfmt_misc none $dir 2>/dev/null || return 1
    mounted+=("$dir")
  fi
  for file in "$dir"/*; do
    if grep -qs '^interpreter .*qemu-aarch64' "$file"; then return; fi
  done
  printf '%s' ':srvd-test-arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' \
    >$dir/register || return 1
  registered=srvd-test-arm64
}

# Prints the files of a Debian root that a package could have left.
files_of() (
  cd "$1"
  find . -xdev \( -path ./proc -o -path ./var/log -o -path ./var/cache -o -path ./home -o -name '*-old' \) -prune -o -print | sort
)

deb() {
  local debian=$work/debian file root=() left
  local codename=bookworm
  for file in "$dist/srvd_$version"-*_amd64.deb; do :; done
  local begun=$SECONDS
  debootstrap --variant=minbase "$codename" "$debian" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 5 "$work/debootstrap.log" >&2 && fail "debootstrap failed" 69; }
  echo "packages.sh: Debian $codename in $((SECONDS - begun)) s"
  files_of "$debian" >"$work/before"
  cp "$file" "$debian/home/srvd.deb"
  begun=$EPOCHREALTIME
  quietly chroot "$debian" dpkg -i /home/srvd.deb
  awk -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN { printf "packages.sh: dpkg -i: %.1f s\n", to - from }'
  for file in usr/bin/srvd usr/lib/systemd/user/srvd.service usr/lib/systemd/system/srvd@.service \
    usr/share/man/man1/srvd.1.gz usr/share/man/man1/srvd-key-generate.1.gz usr/share/bash-completion/completions/srvd; do
    [[ -f $debian/$file ]] || fail "the package lacks /$file"
  done
  same "the program of the units" "ExecStart=/usr/bin/srvd" \
    "$(sed -n '/^ExecStart=/p' "$debian"/usr/lib/systemd/{user/srvd.service,system/srvd@.service} | sort -u)"
  mount_at -t proc proc "$debian/proc"
  mkdir -m 700 "$debian/home/user" && chown 1000:1000 "$debian/home/user"
  show "$x64" "$debian/home/show"
  in_root "$debian" /usr/bin/srvd
  session /home/show "${root[@]}"
  manual "$debian/usr/share/man/man1/srvd.1.gz"
  # shellcheck disable=SC2016 # expanded by the other shell
  same "completion of the command" "login" "$(chroot "$debian" bash -c '
    . /usr/share/bash-completion/completions/srvd
    complete -p srvd >/dev/null && COMP_WORDS=(srvd logi) COMP_CWORD=1 && _srvd srvd logi srvd && echo "${COMPREPLY[@]}"')"

  # Links that `systemctl enable` makes: a removal keeps them, a purge does not.
  mkdir -p "$debian/etc/systemd/system/multi-user.target.wants"
  ln -s /usr/lib/systemd/system/srvd@.service "$debian/etc/systemd/system/multi-user.target.wants/srvd@user.service"
  quietly chroot "$debian" dpkg -r srvd
  [[ ! -e $debian/usr/bin/srvd ]] || fail "the program is still there after the removal"
  quietly chroot "$debian" dpkg -P srvd
  left=$(files_of "$debian" | comm -13 "$work/before" - | grep -vxF -e ./etc/systemd/system/multi-user.target.wants || true)
  same "what a purge leaves outside /home" "" "$left"
  [[ -f $debian/home/user/.local/share/srvd/srvd.db ]] || fail "the purge removed the data of a user"
}

manual() {
  local page problems
  page=$(MANWIDTH=80 man --warnings -l "$1" 2>"$work/man.log" | col -b)
  problems=$(cat "$work/man.log")
  same "the warnings of man" "" "$problems"
  for word in NAME SYNOPSIS "key generate" srvd-login; do
    [[ $page == *"$word"* ]] || fail "the manual page does not mention $word"
  done
}

npm_package() {
  local prefix=$work/npm url root=() begun
  mkdir -p "$work/npm-home" "$work/registry"
  cp "$dist"/*.tgz "$work/registry"
  node scripts/packages/registry.mjs "$work/registry" >"$work/registry.url" &
  started[$!]=yes
  for _ in {1..100}; do
    if [[ -s $work/registry.url ]]; then break; fi
    sleep 0.1
  done
  url=$(<"$work/registry.url")
  local npm=("${clear[@]}" "HOME=$work/npm-home" "PATH=$PATH" npm --global "--prefix=$prefix" "--registry=$url" --no-audit --no-fund --no-update-notifier)
  begun=$EPOCHREALTIME
  quietly "${npm[@]}" install --ignore-scripts "srvd@$version"
  awk -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN { printf "packages.sh: npm install: %.1f s\n", to - from }'
  same "the packages of platforms" "linux-x64" "$(find "$prefix" -type d -path '*/@srvd/*' -prune -printf '%f\n')"
  show "$x64" "$work/show"
  mkdir -m 700 "$work/npm-home/user"
  root=("${clear[@]}" "HOME=$work/npm-home/user" PATH=/usr/bin:/bin "$prefix/bin/srvd")
  session "$work/show" "${root[@]}"
  quietly "${npm[@]}" uninstall srvd
  same "what npm leaves" "" "$(find "$prefix" -name '*srvd*')"
}

rpm_package() {
  local file listed expected
  for file in "$dist/srvd-$version"-*.x86_64.rpm; do :; done
  rpm -qp --qf '%{NAME} %{VERSION} %{LICENSE}\n' "$file" | grep -qx "srvd $version Apache-2.0" || fail "the rpm's header is wrong"
  # The same files as in the deb, but for directories that differ between the systems.
  listed=$(rpm -qpl "$file" | sed -e '/^\/usr\/share\/\(licenses\|doc\)\//d' -e 's|site-functions|vendor-completions|' | sort)
  expected=$(dpkg-deb -c "$dist/srvd_$version"-*_amd64.deb | awk '$1 !~ /^d/ { print substr($6, 2) }' |
    sed -e '/^\/usr\/share\/doc\//d' -e '/\/man1\//s/\.gz$//' | sort)
  same "the files of the rpm" "$expected" "$listed"
  same "what the rpm requires" "" "$(rpm -qp --requires "$file" | grep -vE '^(rpmlib\(|/bin/sh)' || true)"
  # Installed without the scripts, which need a shell in the root.
  local rpm=(rpm --root "$work/rpm" --dbpath /var/lib/rpm --nodeps --noscripts)
  mkdir "$work/rpm"
  quietly "${rpm[@]}" -i "$file"
  same "the rpm's program" "srvd $version" "$("$work/rpm/usr/bin/srvd" --version)"
  quietly "${rpm[@]}" -V srvd
  dpkg-deb -x "$dist/srvd_$version"-*_amd64.deb "$work/deb"
  for file in usr/bin/srvd usr/lib/systemd/user/srvd.service usr/lib/systemd/system/srvd@.service; do
    cmp "$work/rpm/$file" "$work/deb/$file"
  done
  quietly "${rpm[@]}" -e srvd
  same "what the rpm leaves" "" "$(find "$work/rpm" -name '*srvd*' -not -type d -not -path '*/var/lib/rpm/*')"
}

# The root that the Dockerfile describes, read-only, as its user and with its environment. The base adds certificates.
container() {
  local context=$work/context image=$work/image volume variables=() root=()
  mkdir -p "$context" "$image/usr/bin" "$image/data" "$image/run/srvd" "$image/run/secrets" "$image/proc" "$work/volumes/data" "$work/volumes/run/srvd"
  tar -xzf "$dist/srvd-$version-container.tar.gz" -C "$context"
  cp "$context/amd64/srvd" "$image/usr/bin/srvd"
  show "$x64" "$image/usr/bin/show"
  mapfile -t variables < <(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$context/Dockerfile" | sed -n 's/^ENV //p' | xargs -n 1)
  quietly "${clear[@]}" "HOME=$work" "$image/usr/bin/srvd" key generate --output "$image/run/secrets/srvd_key"
  chown 65532 "$image/run/secrets/srvd_key"
  mount_at --bind "$image" "$image"
  mount -o remount,bind,ro "$image"
  mount_at -t proc proc "$image/proc"
  for volume in data run/srvd; do
    chown 65532:65532 "$work/volumes/$volume" && chmod 700 "$work/volumes/$volume"
    mount_at --bind "$work/volumes/$volume" "$image/$volume"
  done
  root=("${clear[@]}" HOME=/nonexistent "${variables[@]}" "$chroot" --userspec=65532:65532 "$image" /usr/bin/srvd)
  has_key=yes session /usr/bin/show "${root[@]}"
}

need debootstrap debootstrap
need rpm rpm
need man man-db
need col bsdextrautils
need node nodejs
need npm npm
if [[ -z $built ]]; then
  scripts/release.sh --profile try --targets "$x64 $arm64" --only "archives deb rpm npm container" --out "$dist"
fi

for channel in $channels; do
  case $channel in
  x64) channel "archive x86-64 in an empty root" archive_x64 "$dist/*-$x64.tar.gz" ;;
  arm64)
    if emulation; then
      channel "archive arm64 in an empty root, emulated" archive_arm64 "$dist/*-$arm64.tar.gz"
    else
      skip "the kernel cannot start programs for arm64"
    fi
    ;;
  deb) channel "deb" deb "$dist/*_amd64.deb" ;;
  npm) channel "npm" npm_package "$dist/srvd-linux-x64-*.tgz" ;;
  rpm) channel "rpm" rpm_package "$dist/*.x86_64.rpm" ;;
  container) channel "container" container "$dist/*-container.tar.gz" ;;
  esac
done
echo "packages.sh: all passed in $SECONDS s"
