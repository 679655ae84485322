#!/usr/bin/env bash
# Whether the classifier is right, by the word of a standby (docs/oracle.md).
#
# Usage: scripts/oracle.sh [OPTION…] [TEST…]     options and tests of target/debug/oracle
#
# PostgreSQL's regression suite runs on a primary; what is like a query is classified, and run on a
# standby first. Where scripts/regress-fetch.sh can't have the suite, all is skipped, loudly.
set -euo pipefail
cd "$(dirname "$0")/.."

# The share of reads, in percent, that must be called so: just below what was measured last.
at_least=97.8

say() { printf 'oracle: %s\n' "$*"; }
skip() {
  say "SKIPPED: $*" >&2
  say "SKIPPED: no standby was asked whether the classifier is right" >&2
  exit 0
}

# shellcheck source=scripts/regress-fetch.sh
source scripts/regress-fetch.sh

cargo build --locked -p weir-oracle

# The server's user reads the tests, and writes into `results`.
home=$(mktemp -d "${TMPDIR:-/tmp}/weir-oracle-XXXXXX")
trap 'rm -rf "$home"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$home"
cp -r "$store/tests" "$store/modules" "$home"
target/debug/oracle --driver "$driver" --home "$home" --at-least "$at_least" "$@"
