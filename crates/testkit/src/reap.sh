# Kills the servers below a folder; may wait for its owner first and remove the folder after.
# Or halts them, and lets them go on.
#
#   sh reap.sh kill|remove|watch|freeze|thaw FOLDER PATTERN
#
# PATTERN is FOLDER with find's wildcards escaped. Servers are known by their working directory: every
# process of PostgreSQL stays in its data folder, so a stale or unwritten postmaster.pid does no harm.
# Runs as the servers' user: root in a container may lack the right to look at others' /proc entries.
trap '' HUP INT TERM
mode=$1 folder=$2 pattern=$3

if [ "$mode" = watch ]; then
    # The owner writes `release` or, by whatever end, closes the pipe.
    while read -r word; do
        [ "$word" = release ] && exit 0
    done
fi

# Sends a signal to all of them; succeeds when it found one.
sweep() {
    found=1
    for link in $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$pattern/*" 2>/dev/null); do
        pid=${link#/proc/}
        pid=${pid%/cwd}
        read -r name 2>/dev/null <"/proc/$pid/comm" || continue
        case $name in
        # A person's shell may stand in the folder too: it is none of ours.
        postgres | pg_* | initdb | tar | psql) kill -"$1" "$pid" 2>/dev/null && found=0 ;;
        esac
    done
    return $found
}

case $mode in
# A second time: one that was not halted yet may have had a child.
freeze) sweep STOP && sweep STOP; exit ;;
thaw) sweep CONT; exit ;;
esac

rounds=0
while sweep KILL && [ $rounds -lt 500 ]; do
    rounds=$((rounds + 1))
    sleep 0.01
done
# A killed server leaves its System V segment (line 7 of its pid file: key, id).
for file in "$folder"/data/postmaster.pid "$folder"/*/data/postmaster.pid; do
    [ -f "$file" ] || continue
    set -- $(sed -n 7p "$file")
    [ -n "$2" ] && ipcrm -m "$2" 2>/dev/null
    rm -f "$file"
done
[ "$mode" = kill ] && exit 0

# Where the parent belongs to another user the emptied folder itself stays: the owner's part.
rm -rf -- "$folder" 2>/dev/null || find "$folder" -mindepth 1 -delete
sweep KILL
exit 0
