//! The real programs that the tests talk to: which they are, and how to get them.

use std::{env, ffi::OsString, fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use crate::run::{found, succeeds, target};

/// A program or a library that is the other end in a test.
struct Peer {
    name: &'static str,
    /// Debian's package of it; nothing where there is none.
    package: &'static str,
    kind: Kind,
}

enum Kind {
    Program,
    /// A part of another program, or a header.
    File,
    /// A module of python3, by its name in the Python index.
    Python(&'static str),
    /// A module of node, by its name and version in the npm registry.
    Node(&'static str),
}

const fn program(name: &'static str, package: &'static str) -> Peer {
    Peer { name, package, kind: Kind::Program }
}

const fn python(name: &'static str, package: &'static str) -> Peer {
    Peer { name, package, kind: Kind::Python(name) }
}

/// Every peer that a test asks for.
const PEERS: &[Peer] = &[
    program("argon2", "argon2"),
    program("chromium", "chromium"),
    program("curl", "curl"),
    program("haproxy", "haproxy"),
    program("nc.openbsd", "netcat-openbsd"),
    program("nc.traditional", "netcat-traditional"),
    program("ncat", "ncat"),
    program("nats-server", "nats-server"),
    program("nginx", "nginx-light"),
    program("node", "nodejs"),
    program("openssl", "openssl"),
    program("pg_ctlcluster", "postgresql"),
    program("python3", "python3"),
    program("script", "bsdutils"),
    program("setpriv", "util-linux"),
    program("sha256sum", "coreutils"),
    program("socat", "socat"),
    program("sqlite3", "sqlite3"),
    program("tar", "tar"),
    program("tcpdump", "tcpdump"),
    program("tshark", "tshark"),
    program("wget", "wget"),
    program("zbarimg", "zbar-tools"),
    program("zstd", "zstd"),
    python("aiohttp", "python3-aiohttp"),
    python("h2", "python3-h2"),
    python("httpx", "python3-httpx"),
    python("prometheus_client", "python3-prometheus-client"),
    python("requests", "python3-requests"),
    python("schemathesis", "python3-schemathesis"),
    python("websockets", "python3-websockets"),
    Peer { name: "toxiproxy", package: "", kind: Kind::Python("toxiproxy-python") },
    Peer { name: "toxiproxy-node-client", package: "", kind: Kind::Node("toxiproxy-node-client@4") },
    Peer { name: "ws", package: "node-ws", kind: Kind::Node("ws@8") },
];

/// What the speed of ours is put beside, and what that takes.
const CONTENDERS: &[Peer] = &[
    program("gcc", "gcc"),
    Peer { name: "/usr/include/openssl/ssl.h", package: "libssl-dev", kind: Kind::File },
    Peer { name: "/usr/lib/nginx/modules/ngx_stream_module.so", package: "libnginx-mod-stream", kind: Kind::File },
    program("h2load", "nghttp2-client"),
    program("haproxy", "haproxy"),
    program("iperf3", "iperf3"),
    program("nats-server", "nats-server"),
    program("ncat", "ncat"),
    program("nginx", "nginx-light"),
    program("node", "nodejs"),
    program("openssl", "openssl"),
    program("python3", "python3"),
    program("redis-server", "redis-server"),
    program("rsync", "rsync"),
    program("sockperf", "sockperf"),
    program("stunnel4", "stunnel4"),
    program("taskset", "util-linux"),
    program("wrk", "wrk"),
    python("uvloop", "python3-uvloop"),
    python("websockets", "python3-websockets"),
    Peer { name: "ws", package: "node-ws", kind: Kind::Node("ws@8") },
];

/// What the tests need to know of the peers: where the modules are, and whether all of them are there.
#[derive(Default)]
pub(crate) struct Peers {
    variables: Vec<(&'static str, OsString)>,
}

impl Peers {
    /// The command with that knowledge in its environment.
    pub(crate) fn tell(&self, mut command: Command) -> Command {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Gets the peers of the tests.
pub(crate) fn prepare() -> Peers {
    get(PEERS, "the tests")
}

/// Gets what `cargo xtask perf` measures.
pub(crate) fn prepare_contenders() -> Peers {
    get(CONTENDERS, "the rows")
}

/// Installs the peers that are missing where that is possible, and says which are missing still, and for whom.
fn get(peers: &[Peer], whose: &str) -> Peers {
    let modules = target().join("peers");
    let mut variables = vec![
        ("PYTHONPATH", joined("PYTHONPATH", &modules.join("python"))),
        ("NODE_PATH", joined("NODE_PATH", &modules.join("node/node_modules"))),
    ];
    let missing =
        |variables: &[(&str, OsString)]| peers.iter().filter(|peer| !peer.is_there(variables)).collect::<Vec<_>>();
    let mut left = missing(&variables);
    if !left.is_empty() && can_install() {
        install(&left);
        left = missing(&variables);
    }
    // Where python3 or node is not Debian's, its packages are of no use to it: a folder of our own is.
    for peer in &left {
        peer.fetch(&modules);
    }
    if !left.is_empty() {
        left = missing(&variables);
    }
    match left.as_slice() {
        [] => variables.push(("HULLO_PEERS", "all".into())),
        left => {
            let names: Vec<_> = left.iter().map(|peer| format!("{} ({})", peer.name, peer.origin())).collect();
            eprintln!("skipped: {whose} with these peers, which are not installed: {}", names.join(", "));
        }
    }
    Peers { variables }
}

impl Peer {
    fn is_there(&self, variables: &[(&str, OsString)]) -> bool {
        let mut probe = match self.kind {
            Kind::Program => return found(self.name),
            Kind::File => return Path::new(self.name).exists(),
            Kind::Python(_) => Command::new("python3"),
            Kind::Node(_) => Command::new("node"),
        };
        let script = match self.kind {
            Kind::Node(_) => ["-e".to_owned(), format!("require('{}')", self.name)],
            _ => ["-c".to_owned(), format!("import {}", self.name)],
        };
        succeeds(probe.args(script).envs(variables.iter().map(|(name, value)| (name, value))))
    }

    /// Where it comes from, in a word.
    fn origin(&self) -> &'static str {
        match self.kind {
            Kind::Python(name) | Kind::Node(name) if self.package.is_empty() => name,
            _ => self.package,
        }
    }

    /// Gets a module from its language's own registry, into our own folder.
    fn fetch(&self, modules: &Path) {
        let mut command = match self.kind {
            Kind::Program | Kind::File => return,
            Kind::Python(name) => {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(modules.join("python")).arg(name);
                pip
            }
            Kind::Node(version) => {
                let mut npm = Command::new("npm");
                npm.args(["install", "--silent", "--no-save", "--prefix"]).arg(modules.join("node")).arg(version);
                npm
            }
        };
        succeeds(&mut command);
    }
}

/// Whether this is Debian, and we are root.
fn can_install() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    is_root && Path::new("/etc/debian_version").exists() && found("apt-get")
}

fn install(peers: &[&Peer]) {
    let packages: Vec<_> = peers.iter().map(|peer| peer.package).filter(|package| !package.is_empty()).collect();
    if packages.is_empty() {
        return;
    }
    eprintln!("$ apt-get install {}", packages.join(" "));
    let apt = |words: &[&str]| succeeds(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(words));
    // Lists of packages may be old, or not there at all.
    apt(&["update", "-qq"]);
    if !apt(&[&["install", "-y", "-qq", "--no-install-recommends"], &packages[..]].concat()) {
        // One that cannot be had is no reason to go without the others.
        for package in packages {
            apt(&["install", "-y", "-qq", "--no-install-recommends", package]);
        }
    }
}

/// The variable with one folder more.
fn joined(variable: &str, folder: &Path) -> OsString {
    let old = env::var_os(variable).unwrap_or_default();
    let folders =
        std::iter::once(folder.to_owned()).chain(env::split_paths(&old).filter(|old| !old.as_os_str().is_empty()));
    env::join_paths(folders).unwrap_or(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that a test asks for by name, and that is not in the table, would not be installed anywhere.
    #[test]
    fn every_peer_of_the_tests_is_in_the_table() {
        let mut files = vec![crate::run::root().join("crates/hullo-cli/tests")];
        let mut asked = 0;
        while let Some(file) = files.pop() {
            files.extend(fs::read_dir(&file).into_iter().flatten().flatten().map(|entry| entry.path()));
            let text = fs::read_to_string(&file).unwrap_or_default();
            for mark in ["peer(\"", "Case(\""] {
                for name in text.split(mark).skip(1).filter_map(|rest| rest.split('"').next()) {
                    assert!(PEERS.iter().any(|peer| peer.name == name), "{name} in {}", file.display());
                    asked += 1;
                }
            }
        }
        assert!(asked > 0 || !crate::run::root().join("crates/hullo-cli/tests/peers.rs").exists());
    }
}
