# Keeps the server of a test. It takes orders from standard input, a line each, and answers each with a
# line: yes or no, or the id of the process that it started. Standard input closes when the test drops the
# server, and also when the test's process dies. Then the keeper ends the server and removes its directory.
#
#     sh -c 'eval "$KEEPER"' keeper DIRECTORY LAST_SIGNAL PROGRAM [ARGUMENT…]
unset KEEPER
directory=$1
last_signal=$2
shift 2
server=
mkdir -m 700 "$directory" && cd "$directory" || exit 1
exec 2>>log
# The test may die before it reads an answer.
trap '' PIPE

# Sets `state` and `parent` of a process. False if it is gone, or if only its exit code is left.
look_at() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name in parentheses, before the state, may contain anything.
    stat=${stat##*) }
    state=${stat%% *}
    stat=${stat#* }
    parent=${stat%% *}
    case $state in Z | X) return 1 ;; esac
}

# Waits until each process is in a state or gone, half a minute at most.
#
#     await STATE PROCESS…
await() {
    wanted=$1
    shift
    for process in "$@"; do
        tries=3000
        while look_at "$process" && [ "$state" != "$wanted" ]; do
            tries=$((tries - 1))
            [ $tries -gt 0 ] || return 1
            sleep 0.01
        done
    done
}

# Signals the server and its children, which PostgreSQL puts into sessions of their own. Sets `family`.
signal_all() {
    # A server that is stopped starts no more children.
    kill -STOP "$server"
    await T "$server"
    family=$server
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        if look_at "$process" && [ "$parent" = "$server" ]; then
            family="$family $process"
        fi
    done
    # shellcheck disable=SC2086 # a list
    kill -"$1" $family
}

end() {
    signal_all CONT
    kill -"$1" "$server"
    # shellcheck disable=SC2086 # a list
    await gone $family && reap
}

end_now() {
    signal_all KILL
    # shellcheck disable=SC2086 # a list
    await gone $family && reap
}

reap() {
    wait "$server"
    server=
}

# Runs a program to its end, also if the test dies meanwhile. It follows with its arguments, a line each,
# and an empty line.
run() (
    set --
    while read -r argument && [ -n "$argument" ]; do
        set -- "$@" "$argument"
    done
    exec "$@" </dev/null >>log 2>&1
)

while read -r order signal; do
    case $order in
    run) run ;;
    start)
        "$@" </dev/null >>log 2>&1 &
        server=$!
        echo $server
        continue
        ;;
    runs) [ -n "$server" ] && look_at "$server" ;;
    # shellcheck disable=SC2086 # a list
    pause) signal_all STOP && await T $family ;;
    resume) signal_all CONT ;;
    stop) end "$signal" ;;
    kill) end_now ;;
    esac && echo yes || echo no
done

if [ -n "$server" ]; then
    end "$last_signal" || end_now
fi
# A PostgreSQL that was killed leaves a segment of shared memory. This file has its id.
if [ -e data/postmaster.pid ]; then
    ipcrm --shmem-id "$(sed -n '7s/.* //p' data/postmaster.pid)"
fi
cd / && rm -rf "$directory"
