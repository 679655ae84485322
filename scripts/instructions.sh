#!/usr/bin/env bash
# Counts the instructions that Weir runs per transaction, under valgrind, against bench/instructions.json.
#
# Usage: scripts/instructions.sh [options of target/release/instructions, such as --update]
set -euo pipefail
cd "$(dirname "$0")/.."
for program in valgrind vgdb; do
  command -v $program >/dev/null && continue
  echo "instructions: SKIPPED, NOTHING WAS COUNTED: $program is missing and apt has none to give" >&2
  exit 0
done
cargo build --locked --release -p weir --bin weir -p weir-bench --bin instructions
target/release/instructions "$@"
