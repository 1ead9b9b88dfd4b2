echo "vm: tests begin"
/target/release/deps/kernel --format json @ARGUMENTS@
code=$?
for report in /target/kernel-tests/*; do
    [ -f "$report" ] || continue
    echo "vm: report ${report##*/}"
    head -c 20000 "$report"
    echo
done
echo "vm: tests ended with $code"
