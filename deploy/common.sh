# Shared by the scripts of this folder: arguments, the version, the build, reproducible archives. Sourced, not run.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
skipped=0

# The date of everything that is packed: the last commit's; without a history, one that archives of every kind can hold.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=315532800
fi
export SOURCE_DATE_EPOCH

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
# Names a part that this machine cannot make; the last line of a script counts them.
skip() { say "skipped: $*"; skipped=$((skipped + 1)); }
need() { command -v "$1" >/dev/null || fail "$1 is not installed (Debian package \`$2\`)"; }

# Reads `--binary FILE`, `--out FOLDER` and `--help`; all other words go into `rest`.
arguments() {
  binary='' out=$root/target/deploy rest=()
  while [ $# -gt 0 ]; do
    case $1 in
      --binary) binary=$(realpath -e -- "${2:?--binary needs a file}"); shift 2 ;;
      --out) mkdir -p -- "${2:?--out needs a folder}"; out=$(realpath -e -- "$2"); shift 2 ;;
      --help | -h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
      -*) fail "unknown option $1; --help has them" ;;
      *) rest+=("$1"); shift ;;
    esac
  done
  mkdir -p "$out"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
}

# The static target of this machine.
host_target() { echo "$(uname -m)-unknown-linux-musl"; }

# Whether a binary needs libraries of the system.
is_dynamic() { [[ $(ldd "$1" 2>/dev/null) == *'=>'* ]]; }

# The C compiler for a target with another processor; empty if there is none. Clang compiles for every processor. ring's C code
# takes nothing of a C library but headers, so that the compiler for glibc is as good for musl.
compiler_for() {
  command -v "${1%%-*}-linux-gnu-gcc" || command -v clang || true
}

# Why a target cannot be built here; empty if it can.
obstacle() {
  [ -d "$(cd "$root" && rustc --print target-libdir --target "$1" 2>/dev/null)" ] ||
    { echo "Rust has no standard library for it (\`rustup target add $1\`)"; return; }
  case $1 in
    "$(host_target)") command -v musl-gcc >/dev/null || echo "musl-gcc is not installed (Debian package \`musl-tools\`)" ;;
    *)
      [ -n "$(compiler_for "$1")" ] ||
        echo "no C compiler for it is installed (Debian package \`gcc-${1%%-*}-linux-gnu\` or \`clang\`)"
      ;;
  esac
}

# Builds a static binary for a target, the same one in every folder, and prints its path.
build() {
  local target=$1 home=${CARGO_HOME:-$HOME/.cargo} flags lower upper
  flags="--remap-path-prefix=$root=/pharos --remap-path-prefix=$home=/cargo -Cstrip=symbols"
  lower=${target//-/_} upper=$(echo "${target//-/_}" | tr a-z A-Z)
  if [ "$target" != "$(host_target)" ]; then
    # Another processor: ring's C and assembler by a compiler for it, and the linker that comes with Rust.
    export "CC_$lower=$(compiler_for "$target")" "CARGO_TARGET_${upper}_LINKER=rust-lld"
    flags="$flags -Clink-self-contained=yes"
  fi
  # Paths in ring's C code are not remapped by rustc.
  export "CFLAGS_$lower=-ffile-prefix-map=$root=/pharos -ffile-prefix-map=$home=/cargo"
  (cd "$root" && RUSTFLAGS=$flags cargo build --locked --release --bin pharos --target "$target" >&2)
  echo "${CARGO_TARGET_DIR:-$root/target}/$target/release/pharos"
}

# Copies the binary to pack to a path, without symbols: the one that was given, or one that is built now.
binary_to() {
  [ -n "$binary" ] || {
    why=$(obstacle "$(host_target)")
    [ -z "$why" ] || fail "$(host_target): $why; or give a binary with --binary"
    binary=$(build "$(host_target)")
  }
  install -m 755 "$binary" "$1"
  if command -v strip >/dev/null; then strip "$1"; fi
}

# Copies everything beside the binary to a folder: the same for every kind of package.
pages_to() {
  "$1" man "$2/man"
  mkdir -p "$2/completions"
  "$1" completions bash >"$2/completions/pharos.bash"
  "$1" completions zsh >"$2/completions/_pharos"
  "$1" completions fish >"$2/completions/pharos.fish"
}

# The sample configuration, its zone and its lists.
sample_to() {
  (cd "$root" && find pharos.toml zones -type f | while read -r file; do install -D -m 644 "$file" "$1/$file"; done)
}

# The sample as an installed configuration: its control socket would be in a folder that the service cannot write to.
# The folders of the service are made when it starts, so that the table is a comment until then.
installed_sample_to() {
  sample_to "$1"
  sed -i 's|^\[control\]|# [control]|
    s|^socket = "pharos.sock".*|# socket = "/run/pharos/control.sock"\n# group  = "pharos-operators"            # its members may use the socket too: `adduser USER pharos-operators`|
    s|^state  = "overrides.state".*|# state  = "/var/lib/pharos/overrides.state"|' "$1/pharos.toml"
  ! grep -q '^\[control\]\|pharos.sock' "$1/pharos.toml" || fail "the sample has another [control] than expected"
}

# Packs the folder $2 below $1 as an archive that depends on the content alone.
archive() {
  tar -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
    -cf - "$2" | gzip -6n >"$3"
}

done_with() {
  [ "$skipped" = 0 ] || say "$skipped skipped, see above"
}
