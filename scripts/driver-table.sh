#!/usr/bin/env bash
# Prints what the tests of real drivers left in target/drivers/results, if they ran.
set -euo pipefail
cd "$(dirname "$0")/.."
cd target/drivers/results 2>/dev/null || exit 0
printf '\n%-18s %5s %7s %8s  %s\n' driver ok 'not ok' skipped version
sort -- * | awk -F '\t' '{ printf "%-18s %5s %7s %8s  %s\n", $1, $2, $3, $4, $5 }'
