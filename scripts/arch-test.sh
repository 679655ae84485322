#!/usr/bin/env bash
# Breaks each wall once, in a copy, and sees that scripts/arch.sh notices.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$PWD/scripts/arch.sh
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

fresh() {
  rm -rf "${copy:?}"/*
  cp -r Cargo.toml Cargo.lock crates tests bench "$copy"
}

# expect WORDS: the check fails in the copy, and says WORDS.
expect() {
  # The new edges lead to crates that the lock file has already.
  (cd "$copy" && cargo metadata --offline --format-version 1 >/dev/null)
  if said=$("$arch" "$copy" 2>&1); then
    echo "arch-test: not noticed: $1" >&2
    exit 1
  fi
  [[ $said == *"$1"* ]] || { printf 'arch-test: expected "%s", got:\n%s\n' "$1" "$said" >&2; exit 1; }
  echo "arch-test: noticed: $1"
}

# add CRATE DEPENDENCY
add() { sed -i "s/^\[dependencies\]/&\n$2.workspace = true/" "$copy/crates/$1/Cargo.toml"; }

fresh && "$arch" "$copy" >/dev/null
fresh && add policy tokio && expect "tokio reaches policy"
fresh && add wire getrandom && expect "getrandom reaches wire"
fresh && add sql telemetry && expect "sql must not know telemetry"
fresh && add proxy control && expect "proxy must not know control"
fresh && add control proxy && expect "control must not know proxy"
fresh && add telemetry wire && expect "telemetry must not know wire"
fresh && add proxy sqlparser && expect "proxy depends on sqlparser"
fresh && echo "use std::time::Instant; fn now() -> Instant { Instant::now() }" >"$copy/crates/policy/src/late.rs" &&
  expect "policy asks the system"
fresh && mkdir -p "$copy/crates/util/src" && touch "$copy/crates/util/src/lib.rs" &&
  printf '[package]\nname = "util"\nedition = "2024"\n' >"$copy/crates/util/Cargo.toml" &&
  expect "crates/util has no line"
