#!/usr/bin/env bash
# PostgreSQL's own regression suite, straight and through Weir (`pool.mode: session`).
#
# Usage: scripts/regress.sh
#
# Every line on which the two runs differ must stand, with its cause, in docs/regress.md; another one
# fails. Where scripts/regress-fetch.sh can't have the suite, all is skipped, loudly.
# shellcheck disable=SC2317,SC2329  # traps call functions
set -euo pipefail
cd "$(dirname "$0")/.."

reviewed=docs/regress.md
folder=target/debug

say() { printf 'regress: %s\n' "$*"; }
skip() {
  say "SKIPPED: $*" >&2
  say "SKIPPED: nothing was compared with PostgreSQL's own regression suite" >&2
  exit 0
}

# shellcheck source=scripts/regress-fetch.sh
source scripts/regress-fetch.sh

cargo build --locked -p weir --bin weir -p testkit --bin testbed

# end PID: asks, and waits up to 15 seconds before it insists.
end() {
  [[ -n $1 ]] && kill -TERM "$1" 2>/dev/null || return 0
  for _ in {1..150}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}

weir='' testbed=''
cleanup() {
  trap '' INT TERM HUP
  end "$weir"
  end "$testbed"
  rm -rf "$home"
}
# The server's user reads the tests, and writes into `results`.
home=$(mktemp -d "${TMPDIR:-/tmp}/weir-regress-XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$home"
cp -r "$store/tests" "$store/modules" "$home"
# Children get process groups of their own, so that Ctrl-C reaches this script alone.
set -m

# cluster: starts one and sets `port`. It lives as long as its standard input: it ends however we end.
cluster() {
  local line
  mkdir -p "$home/cluster"
  coproc TESTBED { exec "$folder/testbed" up --foreground --dir "$home/cluster" --replicas 0 --port 0; }
  testbed=$TESTBED_PID
  read -r line <&"${TESTBED[0]}" || { say "PostgreSQL did not start" >&2; exit 1; }
  port=$(grep -oP -- '-p \K[0-9]+' <<<"$line")
}

# proxy: puts Weir in front of `port`, and sets that to its own.
proxy() {
  cat >"$home/config.yaml" <<END
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
auth: { method: trust }
pool: { mode: session, default_pool_size: 60 }
clusters:
  main:
    nodes: [{ name: a, host: 127.0.0.1, port: $port }]
    monitor: { user: weir_monitor, password: weir_monitor }
databases: { "*": { cluster: main } }
END
  "$folder/weir" serve -c "$home/config.yaml" --ports-file "$home/ports" 2>"$home/weir.log" &
  weir=$!
  until [[ -s $home/ports ]]; do
    kill -0 "$weir" 2>/dev/null || { cat "$home/weir.log" >&2; exit 1; }
    sleep 0.1
  done
  port=$(grep -oP '"sql": *\K[0-9]+' "$home/ports")
}

# suite NAME: runs all tests against `port`; their output goes to $home/NAME.
suite() {
  local out=$home/out begun=$SECONDS summary
  mkdir -p "$out/results"
  chmod 1777 "$out/results"
  (cd "$out" && "$driver" --bindir="$programs" --inputdir="$home/tests" --outputdir="$out" \
    --dlpath="$home/modules" --schedule="$home/tests/parallel_schedule" --max-concurrent-tests=20 \
    --host=127.0.0.1 --port="$port" --user=postgres >"$home/said" 2>&1) || true
  summary=$(grep -E '^ *(All )?[0-9]+ .*(tests (passed|failed)|of [0-9]+ tests)' "$home/said") ||
    { tail -20 "$home/said" >&2; exit 1; }
  say "$1: $(xargs <<<"$summary") ($((SECONDS - begun)) s)"
  # Both write to the same folder, since its name shows in messages.
  mv "$out" "$home/$1"
}

# join_hunks NAME: each hunk of a unified diff as one line: the name, then the hunk's lines.
join_hunks() {
  awk -v name="$1" '
    function flush() { if (hunk != "") print name hunk; hunk = "" }
    /^@@/ { flush(); next }
    { sub(/[ \t]+$/, ""); hunk = hunk "\037" $0 }
    END { flush() }'
}

# Prints the differences of two results that way.
differences() {
  local file
  for file in "$home"/straight/results/*.out; do
    diff -U3 "$file" "$home/through-weir/results/${file##*/}" | tail -n +3 |
      join_hunks "$(basename "$file" .out)" || true
  done
}

# Prints those of the document: blocks of code that begin with ```diff NAME.
known() {
  local name
  grep -oP '^```diff \K.+' "$reviewed" | sort -u | while read -r name; do
    awk -v head="\`\`\`diff $name" '$0 == head { inside = 1; print "@@"; next } /^```/ { inside = 0 } inside' \
      "$reviewed" | join_hunks "$name"
  done
}

cluster
suite straight
end "$testbed"
cluster
proxy
suite through-weir
if grep -q panicked "$home/weir.log"; then
  say "Weir panicked:" >&2
  grep -A5 panicked "$home/weir.log" >&2
  exit 1
fi

mapfile -t found < <(differences)
mapfile -t fresh < <(((${#found[@]})) && printf '%s\n' "${found[@]}" | grep -vxF -f <(known) || true)
if ((${#fresh[@]})); then
  say "differences that $reviewed does not explain:" >&2
  printf '%s\n' "${fresh[@]}" | tr '\037' '\n' >&2
  exit 1
fi
say "${#found[@]} difference(s), all explained in $reviewed"
