"""Connecting to a TCP port with what a host has: perl, python, bash or nc."""

from __future__ import annotations

# Interpreters come first because they tell "refused" from "I do not know that option", keep their
# own time limit and pass every byte on; nc has a dozen dialects and bash may lack /dev/tcp.
# connected HOST PORT SECONDS; received HOST PORT SECONDS SILENCE prints what comes after connecting.
PORT_PROBE = r"""
perl_probe='
my ($host, $port, $limit, $silence) = @ARGV;
my $class = eval { require IO::Socket::IP; 1 } ? "IO::Socket::IP" : "IO::Socket::INET";
my $socket = $class->new(PeerAddr => $host, PeerPort => $port, Timeout => $limit) or exit 7;
exit 0 unless $silence;
my $reader = IO::Select->new($socket);
my $size = 0;
binmode STDOUT;
while ($size < 1048576 && $reader->can_read($silence)) {
    my $count = sysread($socket, my $data, 65536) or last;
    print $data;
    $size += $count;
}'
python_probe='
import select, socket, sys
try:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
except Exception:
    sys.exit(7)
silence = float(sys.argv[4])
out = getattr(sys.stdout, "buffer", sys.stdout)
size = 0
while silence and size < 1048576 and select.select([connection], [], [], silence)[0]:
    data = connection.recv(65536)
    if not data:
        break
    out.write(data)
    size += len(data)
'
tool=
if has perl && perl -MIO::Socket::INET -MIO::Select -e 1 2>/dev/null; then tool=perl
elif has python3; then tool=python3
elif has python; then tool=python
elif has bash && has timeout; then
    case $(LC_ALL=C timeout 5 bash -c ': </dev/tcp/127.0.0.1/9' 2>&1) in
    *"No such file"*) ;;
    *) tool=bash ;;
    esac
fi
if [ -z "$tool" ] && has nc; then
    usage=$(nc -h 2>&1)
    if printf '%s\n' "$usage" | grep -q -e '^-[0-9A-Za-z]*z' -e '[^0-9A-Za-z]-[0-9A-Za-z]*z'; then tool=nc
    elif printf '%s\n' "$usage" | grep -q -- '-e PROG'; then tool=busybox_nc
    fi
fi
tools="perl, python3, python, bash with timeout, nc -z, busybox nc -e"
[ -n "$tool" ] || give_up "cannot connect to a port: the host has none of $tools"

received() {
    case $tool in
    perl) perl -MIO::Socket::INET -MIO::Select -e "$perl_probe" "$@" 2>/dev/null ;;
    python*) $tool -c "$python_probe" "$@" 2>/dev/null ;;
    bash) timeout "$(($3 + $4))" bash -c 'exec 3<>"/dev/tcp/$1/$2" && cat <&3' bash "$1" "$2" 2>/dev/null ;;
    # The other end of the pipe keeps standard input open: many a nc leaves at its end.
    *nc) sleep "$4" | if has timeout; then timeout "$(($3 + $4))" nc -w "$3" "$1" "$2" 2>/dev/null
        else nc -w "$3" "$1" "$2" 2>/dev/null; fi ;;
    esac
}
connected() {
    case $tool in
    perl|python*)
        received "$1" "$2" "$3" 0
        code=$?
        case $code in 0) return 0 ;; 7) return 1 ;; *) give_up "$tool failed with status $code" ;; esac ;;
    bash) timeout "$3" bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2" 2>/dev/null ;;
    busybox_nc) nc -w "$3" "$1" "$2" -e true >/dev/null 2>&1 </dev/null ;;
    nc) nc -z -w "$3" "$1" "$2" >/dev/null 2>&1 </dev/null ;;
    esac
}
"""
