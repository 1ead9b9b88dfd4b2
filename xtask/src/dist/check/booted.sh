# What the package's unit starts, and what Prometheus would read from it, in a booted machine.
echo 'tracer:x:999:999::/var/lib/tracer:/bin/false' >> /etc/passwd
echo 'tracer:x:999:' >> /etc/group
mkdir -p /var/lib/tracer
mkdir -m 700 /run/tracer
$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/tracer.service) > /tmp/findings 2> /tmp/said &
agent=$!
# Its children end, and it waits for none.
sh -c 'for i in $(seq 20); do sleep 0 & done; exec sleep 600' &
tries=120
found=
until [ $tries = 0 ] || { [ -n "$found" ] && grep -q zombie-leak /tmp/findings; }; do
    tries=$((tries - 1))
    sleep 1
    found=$(wget -q -O - http://127.0.0.1:9469/metrics | grep '^tracer_zombies{.*parent_comm="sleep".* 20$')
done
echo "scraped: $found"
echo "found: $(grep zombie-leak /tmp/findings | head -c 400)"
kill -TERM $agent
wait $agent
code=$?
[ -n "$found" ] && grep -q zombie-leak /tmp/findings || code=1
[ $code = 0 ] || cat /tmp/said /tmp/findings
