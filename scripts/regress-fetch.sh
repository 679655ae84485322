# shellcheck shell=bash
# Sourced by scripts that run PostgreSQL's own regression suite, from the top of a checkout, after they
# have defined `say` and `skip REASON…` (which exits).
#
# Sets `programs` (the folder of the server's), `driver` (its pg_regress) and `store`, which then has the
# suite of the installed version in tests/, and in modules/ what its functions in C need. It is taken
# from the Debian source package of just that version, once, by apt, without a change of the system.

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
