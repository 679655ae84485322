#!/usr/bin/env bash
# Guards the walls between the crates (ARCHITECTURE.md): who may know whom, and
# that what decides stays free of I/O, clocks and chance.
#
# Usage: scripts/arch.sh [ROOT]      ROOT is a checkout; this one otherwise.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# crate: workspace crates that it may reach, also through others.
allowed() {
  case "$1" in
    wire | sql | telemetry | testkit) ;;
    policy) echo wire sql ;;
    proxy | control) echo wire sql policy telemetry ;;
    admin) echo wire sql policy telemetry proxy control ;;
    weir) echo wire sql policy telemetry proxy control admin ;;
    *) return 1 ;;
  esac
}

pure=(wire sql policy)
impure='tokio(-[a-z]+)?|mio|async-[a-z]+|futures(-[a-z]+)?|tracing(-[a-z]+)?|socket2|getrandom|rand(_[a-z0-9]+)?|fastrand|quanta|coarsetime|chrono|time|jiff|parking_lot'
# Values of core::net and core::time are welcome; what asks the system is not.
calls='Instant::now|SystemTime|std::thread|thread::|thread_local!|std::net|TcpStream|UdpSocket|\bMutex\b|\bRwLock\b|\bLazyLock\b|\bOnceLock\b|std::fs|std::env|std::process'

faults=0
fault() { faults=$((faults + 1)); printf 'arch: %s\n' "$@" >&2; }

tree() { cargo tree --all-features --prefix none --format '{p}' "$@" | sed 's/ (\*)$//' | sort -u; }
names() { cut -d ' ' -f 1; }
# How `$1` comes to know `$2`, from there upwards.
path() { cargo tree --all-features --edges normal --package "$1" --invert "$2" | sed 's/^/    /'; }

for manifest in crates/*/Cargo.toml; do
  crate=$(basename "$(dirname "$manifest")")
  may=$(allowed "$crate") || fault "crates/$crate has no line in scripts/arch.sh; say what it may know"
  may=" $crate $may "
  reached=$(tree --edges normal,build --package "$crate")

  # Crates of this workspace are those that have a path.
  for other in $(grep -F "(/" <<<"$reached" | names); do
    [[ $may == *" $other "* ]] || fault "$crate must not know $other, but does:" "$(path "$crate" "$other")"
  done

  if [[ " ${pure[*]} " == *" $crate "* ]]; then
    for other in $(names <<<"$reached" | grep -Ex "$impure" || true); do
      fault "$other reaches $crate, which decides and so must hold no I/O, clock or chance:" \
        "$(path "$crate" "$other")"
    done
  fi
done

# What runs in virtual time must not meet the system's own, either.
for other in $(tree --edges normal,build --package weir-sim | names | grep -Ex "$impure" || true); do
  fault "$other reaches weir-sim, whose runs must depend on their seed alone:" "$(path weir-sim "$other")"
done

# Modules that exist in tests only may do as they like: `#[cfg(test)] mod tests`.
test_only() { # CRATE: names of such modules that are files
  find "crates/$1/src" -name '*.rs' -exec cat {} + |
    awk '/^#\[cfg\(test\)\]/ { marked = 1; next } marked && match($0, /mod [a-z_]+;/) {
      print substr($0, RSTART + 4, RLENGTH - 5) } { marked = 0 }' | sort -u
}
code() { # FILE: its lines outside tests and comments, each with its place
  awk '/^#\[cfg\(test\)\]/ { marked = 1; next } marked && /mod [a-z_]+ \{/ { exit } { marked = 0 }
    !/^[[:space:]]*\/\// { print FILENAME ":" FNR ": " $0 }' "$1"
}
for crate in "${pure[@]}"; do
  skip=$(test_only "$crate")
  while IFS= read -r file; do
    stem=${file#"crates/$crate/src/"}
    grep -qxF "$(tr / '\n' <<<"${stem%.rs}")" <<<"${skip:-//}" && continue
    found=$(code "$file" | grep -E "^[^ ]+ .*($calls)" || true)
    [[ -z $found ]] || fault "$crate asks the system; take the value as an argument instead:" "$found"
  done < <(find "crates/$crate/src" -name '*.rs' | sort)
done

for user in $(tree --workspace --edges normal,build,dev --depth 1 --invert sqlparser | grep -F "(/" | names); do
  [[ $user == sql ]] || fault "$user depends on sqlparser; only the crate sql may see it"
done

if ((faults)); then
  echo "arch: $faults fault(s)" >&2
  exit 1
fi
echo "arch: the walls stand"
