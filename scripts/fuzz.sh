#!/usr/bin/env bash
# Runs every fuzz target, then asks PostgreSQL's own parser about what Weir calls a read.
#
# Usage: scripts/fuzz.sh SECONDS [TARGET…]      SECONDS for each; all targets otherwise
#
# Targets are those of fuzz/Cargo.toml, and `differential`. SEED chooses the differential's texts. What
# libFuzzer learns stays in target/fuzz/corpus, what it finds in target/fuzz/artifacts; both are of this checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
export PATH=$PWD/target/tools/bin:$PATH
(($#)) || set -- scan fingerprint classify differential
seed=${SEED:-$(date +%s)}
home=target/fuzz

say() { printf 'fuzz: %s\n' "$*"; }

# Statements one by one, as libFuzzer wants its seeds.
seeds() {
  rm -rf $home/seeds
  mkdir -p $home/seeds
  split --lines=1 fuzz/seeds.sql $home/seeds/
}

# target NAME: no sanitizer, for there is no unsafe code to watch; overflows and broken assertions panic anyway.
target() {
  local corpus=$home/corpus/$1 artifacts=$home/artifacts/$1/ known=(target/fuzz/seeds)
  mkdir -p "$corpus" "$artifacts"
  # A list of choices is no text.
  [[ $1 != fingerprint ]] || known=()
  cargo fuzz build --fuzz-dir fuzz --target-dir $home --sanitizer none "$1"
  say "$1, $seconds s"
  "$(echo $home/*/release/"$1")" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=8192 \
    -dict=fuzz/sql.dict -artifact_prefix="$artifacts" -print_final_stats=1 -verbosity=0 -print_funcs=0 "$corpus" "${known[@]}"
}

differential() {
  local files=(tests/routing/*.yaml)
  # PostgreSQL's own tests, where scripts/regress.sh has fetched them.
  mapfile -t -O ${#files[@]} files < <(compgen -G 'target/regress/*/tests/sql/*.sql' || true)
  local build=(--locked --release --manifest-path fuzz/Cargo.toml --target-dir $home -p weir-libpg-query)
  # The judge first.
  cargo test --quiet "${build[@]}"
  cargo build "${build[@]}"
  say "differential, $seconds s"
  $home/release/weir-libpg-query "$seconds" "$seed" "${files[@]}"
}

seeds
for name in "$@"; do
  if [[ $name == differential ]]; then differential; else target "$name"; fi
done
