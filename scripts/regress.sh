#!/usr/bin/env bash
# PostgreSQL's own regression suite, straight and through Weir (`pool.mode: session`).
#
# Usage: scripts/regress.sh
#
# Every line on which the two runs differ must stand, with its cause, in docs/regress.md; another one
# fails. The tests are those of the installed PostgreSQL's Debian source package, fetched once into
# target/regress by apt, without a change of the system. Where it can't be had, all is skipped, loudly.
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

# The folder of the server's programs; the order is testkit's.
find_programs() {
  local found
  for found in ${PG_BIN:+"$PG_BIN"} "$(pg_config --bindir 2>/dev/null || true)" \
    $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    [[ -x $found/initdb && -x $found/postgres && -x $found/psql ]] && echo "$found" && return
  done
  return 1
}

# aptly COMMAND…: apt-get with source packages, and with lists and a cache of its own.
aptly() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$store/apt/sources" \
    -o Dir::State::lists="$store/apt/lists" -o Dir::Cache="$store/apt/cache" \
    -o APT::Sandbox::User="$(id -un)" "$@" >>"$store/log" 2>&1
}

# Fills $store/tests with the suite, and $store/modules with what its functions in C need.
fetch() {
  local sources=() file headers
  mkdir -p "$store"/{apt/{sources,lists/partial,cache/archives/partial},tests,modules}
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
    [[ -e $file ]] || continue
    sources+=("$file")
    sed -E -e '/^deb-src/d' -e 's/^deb( .*)$/&\ndeb-src\1/' -e 's/^Types:.*/Types: deb deb-src/' \
      "$file" >"$store/apt/sources/${file##*/}"
  done
  ((${#sources[@]})) || return 1
  headers=$("$programs/pg_config" --includedir-server 2>/dev/null || true)
  (
    cd "$store"
    # Some of the machine's sources may have no source packages; only ours must be there.
    aptly update || true
    aptly source --download-only "$source=$version" || exit 1
    [[ -e $headers/postgres.h ]] && exit
    aptly download "postgresql-server-dev-$major=$version" && dpkg -x postgresql-server-dev-*.deb dev
  ) || return 1
  [[ -e $headers/postgres.h ]] || headers=$store/dev$headers
  tar -xf "$(echo "$store/${source}"_*.orig.tar.*)" -C "$store/tests" --strip-components=4 \
    --wildcards '*/src/test/regress/*' >>"$store/log" 2>&1 || return 1
  cc -O1 -w -fPIC -shared -I"$headers" -o "$store/modules/regress.so" "$store/tests/regress.c" \
    >>"$store/log" 2>&1 || return 1
  cp "$("$programs/pg_config" --pkglibdir)"/{autoinc,refint}.so "$store/modules" || return 1
  rm -rf "$store/apt" "$store"/*.tar.* "$store"/*.dsc
  touch "$store/whole"
}

programs=$(find_programs) || skip "PostgreSQL is not installed"
driver=$("$programs/pg_config" --pgxs 2>/dev/null || true)
driver=${driver%/makefiles/*}/test/regress/pg_regress
[[ -x $driver ]] || skip "there is no pg_regress in ${driver%/*}"
package=$(dpkg-query -S "$(readlink -f "$programs/postgres")" 2>/dev/null | cut -d: -f1) ||
  skip "$programs belongs to no Debian package"
read -r source version major < <(
  dpkg-query -W -f '${source:Package} ${source:Version} ' "$package"
  "$programs/postgres" --version | grep -oE '[0-9]+' | head -1
)
store=$PWD/target/regress/$source-$version
if [[ ! -e $store/whole ]]; then
  say "fetching the tests of $source $version"
  rm -rf "$store"
  fetch || { tail -5 "$store/log" >&2 || true; skip "the source of $source $version can't be had; see $store/log"; }
fi

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
