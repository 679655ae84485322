#!/usr/bin/env bash
# Runs tests by nextest, or by cargo where nextest is not to be had.
#
# Usage: scripts/test.sh SELECTION…      such as --workspace, or -p wire -p sql
set -euo pipefail
cd "$(dirname "$0")/.."
# Tests of many clients want more open files than the usual 1024.
ulimit -n "$(ulimit -Hn)" || true
rm -rf target/drivers/results
trap scripts/driver-table.sh EXIT
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --no-fail-fast "$@"
else
  echo "test: cargo-nextest is not installed; running cargo test, which is slower" >&2
  cargo test --locked --no-fail-fast --lib --bins --tests "$@"
fi
