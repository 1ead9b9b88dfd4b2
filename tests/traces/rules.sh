# Records two traces for each rule: one in which it fires, and one of an ordinary situation near by, in which
# it says nothing. `cargo xtask traces` runs this as root in a machine that it boots, where nobody else is, so
# that nothing of anybody's is in them. Nowhere else: it changes settings of the machine.
cd /tmp
mkdir rules
code=0

# Whole paths, as the shell would run its own programs by other names. Where it waits it reads from pipes, as
# whatever it ran meanwhile would be in the traces.
mkfifo said told steps

# Begins the trace of a rule that is to find something, or nothing, with these thresholds.
fires() { watch fires "$@"; }
quiet() { watch quiet "$@"; }
watch() {
    kind=$1 rule=$2
    shift 2
    echo "rules: $rule.$kind"
    $TRACER_BIN watch --record "rules/$rule.$kind.mcap" -o json "$@" >said &
    watch=$!
    exec 4<said
    read -r -t 60 line <&4 || fails 'did not start'
}

# Ends the trace: when the rule has spoken; or after so many seconds, in which it must not.
is_said() {
    hears 60 || fails 'did not fire'
    ends
}
is_not_said() {
    /bin/sleep "$1"
    ends
    if hears 10; then fails 'is not quiet'; fi
}
hears() {
    while read -r -t "$1" line <&4; do
        case $line in '{"type":"finding","rule":"'$rule'"'*) return 0 ;; esac
    done
    return 1
}
fails() {
    echo "rules: $rule.$kind $1"
    code=1
}

# Ends what was staged, after the trace.
ends() {
    # One signal has been seen to do nothing here; nobody knows why yet.
    while kill -INT $watch 2>/dev/null; do /bin/sleep 0.5; done
    exec 3>&- 5<&-
    for pid in $staged; do kill -KILL "$pid" 2>/dev/null; done
    staged=
    /bin/sleep 0.3
}
staged=

# A container in small: pid 1 of a pid namespace runs this.
container() {
    unshare -p -f "$@" &
    outer=$!
    /bin/sleep 0.5
    read -r init <"/proc/$outer/task/$outer/children"
    staged="$staged $outer $init"
}

# An act of the workload, the pids that it tells, and what it is told to do next.
act() {
    /target/release/workload "$@" <steps >told &
    exec 3>steps 5<told
}
pid_of() {
    while read -r -t 30 name pid <&5 && [ "$name" != "$1" ]; do :; done
    staged="$staged $pid"
}
step() { echo "$1" >&3; }

# A program without a handler as pid 1; a shell with one, which passes the signal on.
deaf='exec /bin/sleep 1000'
obedient='/bin/sleep 1000 & trap "kill -TERM $!; wait; exit 0" TERM; wait'

fires init-ignored-signal
container /bin/sh -c "$deaf"
/bin/kill -TERM "$init"
is_said

quiet init-ignored-signal
container /bin/sh -c "$obedient"
/bin/kill -TERM "$init"
is_not_said 1

# A child that nobody waits for; one that is waited for.
fires unreaped-child --unreaped-after 300ms
act parent never-waits
pid_of parent
step child
is_said

quiet unreaped-child --unreaped-after 300ms
act parent never-waits
pid_of parent
step child
step wait
is_not_said 1

# As many as make a leak; as many, a few at a time.
fires zombie-leak --unreaped-after 300ms --zombie-leak-at 10
act leak 50
pid_of parent
for child in 1 2 3 4 5 6 7 8 9 10 11 12; do step child; done
is_said

quiet zombie-leak --unreaped-after 300ms --zombie-leak-at 10
act leak 50
pid_of parent
for round in 1 2 3; do
    for child in 1 2 3 4; do step child; done
    step reap
done
is_not_said 2

# SIGCHLDs that merge, with a handler that waits once, and with one that waits for all.
fires coalesced-sigchld --unreaped-after 300ms
act together once
pid_of parent
step end
is_said

quiet coalesced-sigchld --unreaped-after 300ms
act together all
pid_of parent
step end
is_not_said 2

# A parent that ends before its child; one that waits for it.
fires orphan-adopted
container /bin/sh -c '(/bin/sleep 1000 & /bin/sleep 1; exit 0); exec /bin/sleep 1001'
is_said

quiet orphan-adopted
container /bin/sh -c '(/bin/sleep 0.5 & wait); exec /bin/sleep 1001'
is_not_said 1

# A pid 1 that ends before the others; one that waits for them.
fires namespace-killed
container /bin/sh -c '/bin/sleep 1000 & /bin/sleep 1; exit 0'
is_said

quiet namespace-killed
container /bin/sh -c '/bin/sleep 1 & wait; exit 0'
is_not_said 1.5

# A stop that comes to nothing; one in time.
fires slow-stop --slow-stop-after 500ms
container /bin/sh -c "$deaf"
/bin/kill -TERM "$init"
/bin/sleep 1
/bin/kill -KILL "$init"
is_said

quiet slow-stop --slow-stop-after 500ms
container /bin/sh -c "$obedient"
/bin/kill -TERM "$init"
is_not_said 1

# A pid 1 that ends in order; one whose helper does.
fires stopped-by
container /bin/sh -c 'trap "exit 0" TERM; while :; do /bin/sleep 0.2; done'
/bin/kill -TERM "$init"
is_said

quiet stopped-by
container /bin/sh -c '/bin/sh -c "trap \"exit 0\" TERM; while :; do /bin/sleep 0.2; done"; exec /bin/sleep 1000'
read -r helper _ <"/proc/$init/task/$init/children"
/bin/kill -TERM "$helper"
is_not_said 1

# A shell that keeps the signal; one that passes it on. A child that has hardly begun does not count.
fires signal-not-forwarded --not-forwarded-after 500ms
container /bin/sh -c 'trap : TERM; /bin/sleep 1000; exit 0'
/bin/sleep 1.5
/bin/kill -TERM "$init"
is_said

quiet signal-not-forwarded --not-forwarded-after 500ms
container /bin/sh -c "$obedient"
/bin/sleep 1.5
/bin/kill -TERM "$init"
is_not_said 1.5

# A program that a shell started with the signal ignored; a shell that ignores it by choice.
fires signal-ignored
/bin/sh -c 'trap "" TERM; exec /bin/sleep 1000' &
staged="$staged $!"
/bin/sleep 0.5
/bin/kill -TERM $!
is_said

quiet signal-ignored
/bin/sh -c 'trap "" TERM; while :; do /bin/sleep 0.2; done' &
staged="$staged $!"
/bin/sleep 0.5
/bin/kill -TERM $!
is_not_said 2

# A main thread that ends long before the others; one that ends a moment before them.
fires zombie-leader --zombie-leader-after 300ms
act dead-leader
pid_of process
is_said

quiet zombie-leader --zombie-leader-after 300ms
act leader-first waited
pid_of process
step end-leader
step end-thread
is_not_said 1

# Killed, and held by its tracer at its exit; let go at once.
fires cannot-die --cannot-die-after 1s
act held-at-its-exit
pid_of process
victim=$pid
pid_of tracer
/bin/kill -KILL "$victim"
is_said

quiet cannot-die --cannot-die-after 1s
act held-at-its-exit
pid_of process
victim=$pid
pid_of tracer
/bin/kill -KILL "$victim"
step let-go
is_not_said 2

# A reader of its terminal in the background; one in front.
fires stopped-job --stopped-after 1s
act background-reader background
pid_of process
is_said

quiet stopped-job --stopped-after 1s
act background-reader front
pid_of process
is_not_said 2

# A parent that has ignored SIGCHLD from its start, and waits for a child that fails; one that has not.
fires status-lost
act status inherited
pid_of child
pid_of parent
step end
is_said

quiet status-lost
act status plainly
pid_of child
pid_of parent
step end
is_not_said 1

# A command that does not wait for what it has started; one that does.
for kind in fires quiet; do
    echo "rules: left-behind.$kind"
    script='/bin/sleep 5 & /bin/sleep 0.5; exit 0'
    [ $kind = fires ] || script='/bin/sleep 1 & wait'
    $TRACER_BIN record -o rules/left-behind.$kind.mcap -- /bin/sh -c "$script" 2>/dev/null || code=1
done

# A program that a signal ends; one that ends at a signal by itself, with the code that a shell shows then.
fires killed-by
/bin/sleep 1000 &
/bin/sleep 0.5
/bin/kill -TERM $!
is_said

quiet killed-by
container /bin/sh -c 'trap "exit 143" TERM; while :; do /bin/sleep 0.2; done'
/bin/kill -TERM "$init"
is_not_said 1

# A signal that stays blocked; one that is taken in time.
fires signal-stuck-blocked --stuck-blocked-after 1s
act blocked-until
pid_of process
/bin/kill -TERM "$pid"
is_said

quiet signal-stuck-blocked --stuck-blocked-after 1s
act blocked-until
pid_of process
/bin/kill -TERM "$pid"
step unblock
is_not_said 2

# More signals than may wait; as many as may. Of what is queued right after one another not all is seen.
fires signal-queue-overflow
act room-for 2 5
pid_of process
pid_of sender
step queue
/bin/sleep 0.2
step queue
is_said

quiet signal-queue-overflow
act room-for 100 5
pid_of process
pid_of sender
step queue
is_not_said 1

# What was brought into a container outlives its client; it ends first.
fires exec-leftover --exec-leftover-after 500ms
container /bin/sleep 1000
nsenter -t "$init" -p -- /bin/sleep 1001 &
client=$!
/bin/sleep 0.5
/bin/kill -KILL $client
is_said

quiet exec-leftover --exec-leftover-after 500ms
container /bin/sleep 1000
nsenter -t "$init" -p -- /bin/sleep 0.5 &
is_not_said 2

# Nine of ten pids of a control group; nine of a hundred. Limits are looked at now and then only, but at the
# start in any case.
group=/sys/fs/cgroup/rules
echo +pids >/sys/fs/cgroup/cgroup.subtree_control
mkdir $group
crowd() {
    echo "$1" >$group/pids.max
    /bin/sh -c "echo 0 >$group/cgroup.procs; for n in 1 2 3 4 5 6 7 8; do /bin/sleep 1000 & done; wait" &
    /bin/sleep 1
    while read -r pid; do staged="$staged $pid"; done <$group/cgroup.procs
}
fires pid-pressure
crowd 10
is_said

crowd 100
quiet pid-pressure
is_not_said 1

# Nine of ten pseudo-terminals; nine of a hundred.
pty=/proc/sys/kernel/pty
most=$(cat $pty/max) few=$(($(cat $pty/reserve) + $(cat $pty/nr)))
echo $((few + 10)) >$pty/max
fires pty-pressure
act ptys 9
pid_of process
is_said

echo $((few + 100)) >$pty/max
act ptys 9
pid_of process
quiet pty-pressure
is_not_said 1
echo "$most" >$pty/max

for file in rules/*.mcap; do
    echo "vm: file $file"
    gzip -9 <"$file" | base64
    echo "vm: file ends"
done
