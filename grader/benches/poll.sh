#!/usr/bin/env bash
# The job of `cargo xtask speed` as a polling shell script: ten times start the server $SERVER, say Hello!, read Hi!, end
# the connection, and see the server end. Readiness is found by connecting again and again.
set -eu
for run in 1 2 3 4 5 6 7 8 9 10; do
    "$SERVER" --host 127.0.0.1 --port "$PORT" &
    server=$!
    until { exec 3<>"/dev/tcp/127.0.0.1/$PORT"; } 2>/dev/null; do sleep 0.005; done
    printf 'Hello!' >&3
    IFS= read -r -N 3 answer <&3
    [ "$answer" = 'Hi!' ]
    exec 3>&- 3<&-
    wait "$server"
done
