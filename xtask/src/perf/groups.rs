//! The table of all groups. The first contender of a group is the one that the others are put beside.

use super::{
    figures::Reads::{Answers, H2load, Heard, Iperf3, Sent, SockperfHeard, SockperfSent, Wrk},
    group::{By, Door, Group, Server, Subject, Unit, load, server},
};

pub(crate) const GROUPS: &[Group] = &[
    TCP,
    UDP,
    HTTP,
    WEBSOCKET,
    RELAY,
    TALK,
    TLS,
    HANDSHAKES,
    CHAT,
    FILES,
    BENCH_HTTP,
    BENCH_HTTP2,
    BENCH_TCP,
    BENCH_UDP,
    BENCH_BULK,
];

/// What most groups are: servers, each as fast as it can be under a load.
const SERVERS: Group = Group {
    name: "",
    title: "",
    about: "",
    unit: Unit::Each("requests"),
    subject: Subject::Servers,
    judged: By::Rate,
    behind: None,
    servers: &[],
    loads: &[],
};

/// Generators, of which it counts what they do with a second of their own core.
const GENERATORS: Group = Group { subject: Subject::Generators, judged: By::Work, ..SERVERS };

const TCP: Group = Group {
    name: "tcp",
    title: "TCP echo, 64 bytes",
    about: "`hullo serve echo tcp://127.0.0.1:PORT`, one message at a time on each connection. The reference is a C \
            program on epoll.",
    unit: Unit::Each("echoes"),
    servers: &[
        server("C epoll", "{c}/echo_tcp {port}"),
        server("hullo", "{hullo} serve echo tcp://127.0.0.1:{port}"),
        server("Python asyncio", "python3 {scripts}/echo.py {port}"),
        server("ncat running cat", "ncat -l 127.0.0.1 {port} -k -m 2000 -e /bin/cat").never(&["1,024 connections"]),
    ],
    loads: &[
        load("64 connections", "{c}/load tcp {at} {seconds} 64 1 64", Answers),
        load("1,024 connections", "{c}/load tcp {at} {seconds} 1024 1 64", Answers),
    ],
    ..SERVERS
};

const UDP: Group = Group {
    name: "udp",
    title: "UDP echo",
    about: "`hullo serve echo udp://127.0.0.1:PORT`. The references are C programs: recvmmsg and sendmmsg, recvfrom and \
            sendto, and recvmmsg with GRO and GSO. A train is what the kernel cuts out of one block.",
    unit: Unit::Each("datagrams"),
    servers: &[
        server("C recvmmsg", "{c}/echo_udp {port} batch"),
        server("C recvfrom", "{c}/echo_udp {port} one"),
        server("C with GRO and GSO", "{c}/echo_udp {port} trains"),
        server("hullo", "{hullo} serve echo udp://127.0.0.1:{port}"),
    ],
    loads: &[
        load("64 bytes, 4 sockets, 32 under way on each", "{c}/load_udp {at} {seconds} 4 32 64", Answers),
        load("1,200 bytes, 4 sockets, 32 under way on each", "{c}/load_udp {at} {seconds} 4 32 1200", Answers),
        load("64 bytes, one at a time", "{c}/load_udp {at} {seconds} 1 1 64", Answers),
        load("trains of 48 times 1,200 bytes", "{c}/load_udp {at} {seconds} 2 48 1200 trains", Answers),
    ],
    ..SERVERS
};

const HTTP: Group = Group {
    name: "http",
    title: "HTTP hello",
    about: "`hullo serve greet http://127.0.0.1:PORT`, 64 connections, kept alive.",
    servers: &[
        NGINX,
        server("C epoll", "{c}/hello {port}"),
        server("haproxy", "haproxy -db -f {configuration}").configured("haproxy.cfg").by(Door::Third),
        server("hullo", "{hullo} serve greet http://127.0.0.1:{port}"),
    ],
    loads: &[
        load("requests of a C generator", "{c}/load http {at} {seconds} 64 1 /", Answers),
        load("requests of wrk", "wrk -t1 -c64 -d{whole}s --latency http://127.0.0.1:{at}/", Wrk),
        load("16 pipelined", "{c}/load http {at} {seconds} 64 16 /", Answers),
    ],
    ..SERVERS
};

const NGINX: Server = server("nginx", "nginx -c {configuration}").configured("nginx.conf");

const WEBSOCKET: Group = Group {
    name: "websocket",
    title: "WebSocket echo",
    about: "`hullo serve echo ws://127.0.0.1:PORT`, one message at a time on each connection.",
    unit: Unit::Each("echoes"),
    servers: &[
        server("npm ws", "node {scripts}/websocket.js {port}"),
        server("Python websockets", "python3 {scripts}/websocket.py {port}"),
        server("Python websockets on uvloop", "python3 {scripts}/websocket.py {port} uvloop"),
        server("hullo", "{hullo} serve echo ws://127.0.0.1:{port}"),
    ],
    loads: &[
        load("64 connections, 64 bytes", "{c}/load ws {at} {seconds} 64 1 64", Answers),
        load("16 connections, 16 KiB", "{c}/load ws {at} {seconds} 16 1 16384", Answers),
    ],
    ..SERVERS
};

const RELAY: Group = Group {
    name: "relay",
    title: "Relay of bulk",
    about: "`hullo relay tcp://127.0.0.1:PORT tcp://…`: what a source sends through the relay to a sink, which are both \
            on the other core.",
    unit: Unit::Bytes,
    behind: Some("{c}/bulk sink {port}"),
    servers: RELAYS,
    loads: &[
        load("one connection", "{c}/bulk source {at} {seconds} 1", Sent),
        load("four connections", "{c}/bulk source {at} {seconds} 4", Sent),
    ],
    ..SERVERS
};

const TALK: Group = Group {
    name: "talk",
    title: "Relay of talk",
    about: "The same relays in front of a C echo: 64 bytes there and back.",
    unit: Unit::Each("echoes"),
    behind: Some("{c}/echo_tcp {port}"),
    servers: RELAYS,
    loads: &[
        load("64 connections", "{c}/load tcp {at} {seconds} 64 1 64", Answers),
        load("one connection", "{c}/load tcp {at} {seconds} 1 1 64", Answers),
    ],
    ..SERVERS
};

const RELAYS: &[Server] = &[
    server("haproxy", "haproxy -db -f {configuration}").configured("haproxy.cfg"),
    server("nginx", "nginx -c {configuration}").configured("nginx-relay.conf"),
    server("hullo", "{hullo} relay tcp://127.0.0.1:{port} tcp://127.0.0.1:{behind}"),
    server("nothing between", "").by(Door::Behind),
];

const TLS: Group = Group {
    name: "tls",
    title: "Relay that takes TLS off",
    about: "`hullo relay 'tls://127.0.0.1:PORT?cert=…&key=…' tcp://…`, bulk over one connection of TLS 1.3.",
    unit: Unit::Bytes,
    judged: By::Work,
    behind: Some("{c}/bulk sink {port}"),
    servers: TLS_RELAYS,
    loads: &[load("one connection", "{c}/tls bulk {at} {seconds}", Sent)],
    ..SERVERS
};

const HANDSHAKES: Group = Group {
    name: "handshakes",
    title: "TLS handshakes",
    about: "The same relays: full handshakes of TLS 1.3 with a P-256 certificate, 16 at a time, each on a new connection \
            that ends with it.",
    unit: Unit::Each("handshakes"),
    behind: Some("{c}/echo_tcp {port}"),
    loads: &[load("16 at a time", "{c}/tls handshakes {at} {seconds} 16", Answers)],
    ..TLS
};

const TLS_RELAYS: &[Server] = &[
    server("nginx", "nginx -c {configuration}").configured("nginx-relay.conf").by(Door::Second),
    server("haproxy", "haproxy -db -f {configuration}").configured("haproxy.cfg").by(Door::Second),
    server("stunnel", "stunnel4 {configuration}").configured("stunnel.conf"),
    server(
        "hullo",
        "{hullo} relay tls://127.0.0.1:{port}?cert={folder}/certificate.pem&key={folder}/key.pem tcp://127.0.0.1:{behind}",
    ),
];

const CHAT: Group = Group {
    name: "chat",
    title: "Chat",
    about: "`hullo serve chat tcp://127.0.0.1:PORT --flood off`, with its history in a file. One sender, 1,000 members \
            over TCP, lines of 64 bytes. The reference is a C program on epoll that sends each block to every other \
            connection.",
    unit: Unit::Each("deliveries"),
    servers: &[
        server("C epoll", "{c}/chat {port}").speaking("line"),
        server("hullo", "{hullo} serve chat tcp://127.0.0.1:{port} --flood off --db {folder}/chat-{port}.db")
            .speaking("line"),
        server("redis", "redis-server {configuration}").configured("redis.conf").speaking("redis"),
        server("nats-server", "env GOMAXPROCS=1 nats-server -a 127.0.0.1 -p {port}").speaking("nats"),
    ],
    loads: &[
        load("one line at a time", "{c}/fan {speaks} {at} {seconds} 1000 1 63", Answers),
        load("bursts of 32", "{c}/fan {speaks} {at} {seconds} 1000 32 63", Answers),
    ],
    ..SERVERS
};

const FILES: Group = Group {
    name: "files",
    title: "Files over HTTP",
    about: "`hullo serve files DIR http://127.0.0.1:PORT` beside nginx with sendfile and its cache of open files; the \
            files are in memory. The reference is a C program with sendfile.",
    unit: Unit::Bytes,
    servers: &[
        server("C sendfile", "{c}/files {port} {folder}/files"),
        NGINX,
        server("hullo", "{hullo} serve files {folder}/files http://127.0.0.1:{port}"),
    ],
    loads: &[
        load("1 KiB, 64 connections", "{c}/load http {at} {seconds} 64 1 /1k", Heard),
        load("1 MiB, 8 connections", "{c}/load http {at} {seconds} 8 1 /1m", Heard),
        load("1 GiB, 2 connections", "{c}/load http {at} {seconds} 2 1 /1g", Heard),
    ],
    ..SERVERS
};

const BENCH_HTTP: Group = Group {
    name: "bench-http",
    title: "Generator: HTTP/1.1",
    about: "`hullo bench http://…` beside wrk and a C program on epoll which also times every request: 64 connections to \
            the C hello.",
    servers: &[server("C epoll", "{c}/hello {port}")],
    loads: &[
        load("wrk", "wrk -t1 -c64 -d{whole}s --latency http://127.0.0.1:{at}/", Wrk),
        load("C epoll", "{c}/load http {at} {seconds} 64 1 /", Answers),
        load("hullo bench", "{hullo} bench http://127.0.0.1:{at}/ -c 64 -d {milliseconds}ms --json", Answers),
        load("C epoll, 16 pipelined", "{c}/load http {at} {seconds} 64 16 /", Answers),
        load(
            "hullo bench, 16 pipelined",
            "{hullo} bench http://127.0.0.1:{at}/ -c 64 --depth 16 -d {milliseconds}ms --json",
            Answers,
        ),
    ],
    ..GENERATORS
};

const BENCH_HTTP2: Group = Group {
    name: "bench-http2",
    title: "Generator: HTTP/2",
    about: "`hullo bench --http 2` beside h2load: 16 connections with 16 streams each, to nginx.",
    servers: &[server("nginx", "nginx -c {configuration}").configured("nginx.conf").by(Door::Second)],
    loads: &[
        load("h2load", "h2load -t1 -c16 -m16 -D {whole} http://127.0.0.1:{at}/", H2load),
        load(
            "hullo bench",
            "{hullo} bench http://127.0.0.1:{at}/ --http 2 -c 16 --depth 16 -d {milliseconds}ms --json",
            Answers,
        ),
    ],
    ..GENERATORS
};

const BENCH_TCP: Group = Group {
    name: "bench-tcp",
    title: "Generator: TCP there and back",
    about: "`hullo bench tcp://…` beside a C program on epoll: 64 connections, 64 bytes, to the C echo.",
    unit: Unit::Each("echoes"),
    servers: &[server("C epoll", "{c}/echo_tcp {port}")],
    loads: &[
        load("C epoll", "{c}/load tcp {at} {seconds} 64 1 64", Answers),
        load("hullo bench", "{hullo} bench tcp://127.0.0.1:{at} -c 64 --size 64 -d {milliseconds}ms --json", Answers),
    ],
    ..GENERATORS
};

const BENCH_UDP: Group = Group {
    name: "bench-udp",
    title: "Generator: UDP",
    about: "`hullo bench udp://…` and C programs to the C echo with GRO and GSO, and sockperf to its own server, which \
            alone answers it: 64 bytes. Its fastest mode counts what it sends; all others count what comes back.",
    unit: Unit::Each("messages"),
    servers: &[
        server("sockperf", "sockperf server -i 127.0.0.1 -p {port}"),
        server("C with GRO and GSO", "{c}/echo_udp {port} trains"),
    ],
    loads: &[
        load(
            "sockperf throughput (no replies)",
            "sockperf throughput -i 127.0.0.1 -p {at} -t {whole} -m 64",
            SockperfSent,
        )
        .to("sockperf"),
        load(
            "sockperf under-load",
            "sockperf under-load -i 127.0.0.1 -p {at} -t {whole} -m 64 --mps max --reply-every 1",
            SockperfHeard,
        )
        .to("sockperf"),
        load("sockperf ping-pong", "sockperf ping-pong -i 127.0.0.1 -p {at} -t {whole} -m 64", SockperfHeard)
            .to("sockperf"),
        load("C sendmmsg", "{c}/load_udp {at} {seconds} 4 48 64", Answers).to("C with GRO and GSO"),
        load("C with GRO and GSO", "{c}/load_udp {at} {seconds} 4 48 64 trains", Answers).to("C with GRO and GSO"),
        load(
            "hullo bench",
            "{hullo} bench udp://127.0.0.1:{at} -c 4 --depth 48 --size 64 -d {milliseconds}ms --json",
            Answers,
        )
        .to("C with GRO and GSO"),
    ],
    ..GENERATORS
};

const BENCH_BULK: Group = Group {
    name: "bench-bulk",
    title: "Generator: bulk",
    about: "`hullo bench tcp://… --up` and a C program to the C sink, and iperf3 as it is by default to its own server, \
            which alone takes it: one connection.",
    unit: Unit::Bytes,
    servers: &[server("iperf3", "iperf3 -s -B 127.0.0.1 -p {port}"), server("C sink", "{c}/bulk sink {port}")],
    loads: &[
        load("iperf3", "iperf3 -c 127.0.0.1 -p {at} -t {whole} -J", Iperf3).to("iperf3"),
        load("C source", "{c}/bulk source {at} {seconds} 1", Sent).to("C sink"),
        load("hullo bench", "{hullo} bench tcp://127.0.0.1:{at} --up -c 1 -d {milliseconds}ms --json", Sent)
            .to("C sink"),
    ],
    ..GENERATORS
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_found_where_they_are_said() {
        let names: BTreeSet<_> = GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(names.len(), GROUPS.len());
        for group in GROUPS {
            let servers: Vec<_> = group.servers.iter().map(|server| server.name).collect();
            let loads: Vec<_> = group.loads.iter().map(|load| load.name).collect();
            for load in group.loads {
                assert!(load.to.is_empty() || servers.contains(&load.to), "{}: {}", group.name, load.to);
            }
            for never in group.servers.iter().flat_map(|server| server.never) {
                assert!(loads.contains(never), "{}: {never}", group.name);
            }
            let uses_helper = group.servers.iter().any(|server| server.command.contains("{behind}"));
            assert_eq!(uses_helper, group.behind.is_some(), "{}", group.name);
        }
    }

    #[test]
    fn every_group_has_one_of_ours() {
        for group in GROUPS {
            let commands =
                group.servers.iter().map(|server| server.command).chain(group.loads.iter().map(|load| load.command));
            let mut ours = commands.filter(|command| command.starts_with("{hullo}"));
            assert!(ours.next().is_some(), "{}", group.name);
        }
    }

    #[test]
    fn configurations_are_there() {
        for file in GROUPS.iter().flat_map(|group| group.servers).filter_map(|server| server.configuration) {
            assert!(crate::run::root().join("xtask/perf").join(file).is_file(), "{file}");
        }
    }
}
