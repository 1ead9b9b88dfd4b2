# Records the traces that the tests read: `cargo xtask traces` runs this as root in a machine that it
# boots, where nobody else is, so that nothing of anybody's is in them.
cd /tmp

# Whole paths, as the shell would run its own programs by other names.

# What `tracer demo` shows where it can stage nothing.
$TRACER_BIN demo --record demo.mcap

# A trace of this version of the format: a bit of everything.
$TRACER_BIN watch --record format.mcap --events -o json >live.json &
watch=$!
until grep -q '"type":"start"' live.json; do sleep 1; done

child_of() { cat "/proc/$1/task/$1/children" | tr -d ' '; }
enter() { nsenter -t "$init" -p -- "$@" & sleep 0.5; }

# A container that takes three seconds to stop, with a zombie, an orphan, and others when it ends.
unshare -p -f /bin/sleep 1000 &
outer=$!
sleep 0.5
init=$(child_of $outer)
enter /bin/sh -c '/bin/sleep 0.1 & exec /bin/sleep 1001'
enter /bin/sh -c '/bin/sleep 1002 & wait'
kill -KILL "$(child_of $!)"
enter /bin/sh -c 'kill -TERM 1; kill -KILL 1'
kill -TERM "$init"
sleep 3
kill -KILL "$init"

# One that takes half a second.
unshare -p -f /bin/sleep 1000 &
outer=$!
sleep 0.5
init=$(child_of $outer)
kill -TERM "$init"
sleep 0.5
kill -KILL "$init"

# One whose init has blocked SIGTERM when it comes, and drops it later.
(sleep 1; echo unblock; sleep 1) | /target/release/workload init blocking &
sleep 0.5
kill -TERM "$(child_of $!)"
sleep 2
kill -KILL $!

# A main thread that ends before its process.
/target/release/workload dead-leader &
leader=$!

# Every signal, to somebody who has no handler, who has one, and who ignores it.
for number in $(seq 1 64); do
    /bin/sleep 1003 &
    kill -"$number" $!
    kill -CONT $!
    kill -KILL $!
    wait $!
done
/bin/sh -c 'trap : HUP TERM USR1 USR2; while :; do sleep 0.2; done' &
handler=$!
/bin/sh -c 'trap "" HUP TERM USR1 USR2; exec /bin/sleep 1004' &
ignoring=$!
sleep 0.5
for signal in HUP TERM USR1 USR2; do kill -$signal $handler $ignoring; sleep 0.3; done
kill -KILL $handler $ignoring

# Names that nobody would choose in good faith.
name=$(printf '=1+1\033[1m\n"')
ln -s /target/release/workload "$name"
"./$name" nothing
/bin/true '@SUM(1)' "$(printf '\033]0;x\007')"

# Ordinary work.
for number in $(seq 150); do /bin/true; done

sleep 1
kill -KILL $leader
sleep 1
kill -INT $watch
wait $watch

for file in demo.mcap format.mcap live.json; do
    echo "vm: file $file"
    gzip -9 <$file | base64
    echo "vm: file ends"
done
code=0
