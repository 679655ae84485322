#!/usr/bin/env bash
# Checks all dependencies by deny.toml.
#
# Usage: scripts/deny.sh [CHECK…]      bans, licenses and sources otherwise: they
# work without a network, while advisories need a database from GitHub.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo deny --version >/dev/null 2>&1; then
  echo "deny: cargo-deny is not installed, so nothing was checked: run scripts/deps.sh check" >&2
  exit 1
fi
(($#)) || set -- bans licenses sources
cargo deny --locked --log-level warn check --hide-inclusion-graph "$@"
