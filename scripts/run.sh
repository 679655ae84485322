#!/usr/bin/env bash
# A primary, two replicas and Weir in front of them, until Ctrl-C; then nothing is left.
#
# WEIR_PORT, WEIR_ADMIN_PORT and PG_PORT move the ports; config.yaml reads them too.
# CONFIG names another file.
# shellcheck disable=SC2317,SC2329  # traps call functions
set -euo pipefail
cd "$(dirname "$0")/.."

export WEIR_PORT=${WEIR_PORT:-6432} WEIR_ADMIN_PORT=${WEIR_ADMIN_PORT:-8432} PG_PORT=${PG_PORT:-5433}
export PG_PORT_B=$((PG_PORT + 1)) PG_PORT_C=$((PG_PORT + 2))
config=${CONFIG:-config.yaml}
replicas=2

# A release build is used, and brought up to date, where there is one: it takes minutes to make.
profile=dev folder=target/debug
[[ -x target/release/weir ]] && profile=release folder=target/release

say() { printf '%s\n' "$*"; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# ask PORT PATH: the HTTP status, without a need for curl.
ask() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
    read -r _ status _ <&3
    printf '%s' "$status"
  ) 2>/dev/null
}

check_port() { # PORT VARIABLE WHAT
  if answers "$1"; then
    say "run: port $1, meant for $3, is taken:" >&2
    { ss -Hltnp "sport = :$1" 2>/dev/null || true; } | sed 's/^/    /' >&2
    say "run: end that program, or choose another port: make run $2=<port>" >&2
    exit 1
  fi
}

# end PID: asks, and waits up to 15 seconds before it insists.
end() {
  [[ -n $1 ]] && kill -TERM "$1" 2>/dev/null || return 0
  for _ in {1..150}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  say "run: process $1 does not end; killing it" >&2
  kill -KILL "$1" 2>/dev/null || true
}

weir='' testbed=''
cleanup() {
  trap '' INT TERM HUP
  # Weir first: it finishes its clients' cycles while their servers are there.
  end "$weir"
  end "$testbed"
  rm -rf "$home"
}

cargo build --locked --profile "$profile" -p weir --bin weir -p testkit --bin testbed
check_port "$WEIR_PORT" WEIR_PORT "Weir's clients"
check_port "$WEIR_ADMIN_PORT" WEIR_ADMIN_PORT "Weir's admin API"
for ((n = 0; n <= replicas; n++)); do
  check_port $((PG_PORT + n)) PG_PORT "PostgreSQL ($((replicas + 1)) ports from PG_PORT on)"
done

home=$(mktemp -d "${TMPDIR:-/tmp}/weir-run-XXXXXX")
chmod 755 "$home"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Children get process groups of their own, so that Ctrl-C reaches this script alone.
set -m

# The cluster lives as long as its standard input: it ends however we end.
coproc TESTBED { exec "$folder/testbed" up --foreground --dir "$home" --replicas $replicas --port "$PG_PORT"; }
testbed=$TESTBED_PID
for ((n = 0; n <= replicas; )); do
  read -r line <&"${TESTBED[0]}" || { say "run: PostgreSQL did not start; see above" >&2; exit 1; }
  say "$line"
  [[ $line == *psql* ]] && n=$((n + 1))
done

setpriv --pdeathsig TERM "$folder/weir" serve -c "$config" &
weir=$!
until [[ $(ask "$WEIR_ADMIN_PORT" /readyz) == 200 ]]; do
  kill -0 "$weir" 2>/dev/null || { say "run: Weir did not start; see above" >&2; exit 1; }
  sleep 0.1
done

say "
Weir is ready.
  SQL    psql -h 127.0.0.1 -p $WEIR_PORT -U app app
  admin  http://127.0.0.1:$WEIR_ADMIN_PORT/v1/clusters
Ctrl-C ends Weir and PostgreSQL, and removes the data.
"
# Ends with the first of both to end; a signal comes through as well.
wait -n "$weir" "$testbed" || true
say "run: Weir or PostgreSQL ended by itself; see above" >&2
exit 1
