//! Files sent beside iperf3, rsync and scp: one large file, and ten thousand small ones, all in memory.
//!
//! Each round runs every contender once, in turn, so that what disturbs the machine disturbs all of them. A round's time
//! is from the start of the sending program to its end, and the CPU is that of the whole machine meanwhile, which counts
//! both ends and the kernel; so nothing else may run.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use crate::{
    machine::{self, free_port, listens, median},
    run::{Outcome, failed, found, output},
};

/// What is sent.
struct Load {
    title: &'static str,
    /// The name in the source folder.
    name: &'static str,
    bytes: u64,
    contenders: &'static [&'static str],
}

const LOADS: &[Load] = &[
    Load {
        title: "one file of 1 GiB",
        name: "big",
        bytes: 1 << 30,
        contenders: &["iperf3", "hullo --plain", "hullo", "rsync", "scp"],
    },
    Load {
        title: "10,000 files of 4 KiB",
        name: "small",
        bytes: 10_000 * 4096,
        contenders: &["rsync", "hullo --plain", "hullo", "scp"],
    },
];

/// The code of both ends; it is no secret here.
const CODE: &str = "7-known-here";

pub(crate) fn run(hullo: &Path, rounds: usize) -> Outcome {
    let place = Place::new(hullo)?;
    for load in LOADS {
        let usable = |name: &&&str| place.has(name);
        let contenders: Vec<_> = load.contenders.iter().filter(usable).collect();
        let mut samples = vec![Vec::new(); contenders.len()];
        for _ in 0..rounds {
            for (name, samples) in contenders.iter().zip(&mut samples) {
                samples.push(place.measure(name, load)?);
            }
        }
        report(load, &contenders, &samples);
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Sample {
    seconds: f64,
    busy: f64,
}

fn report(load: &Load, contenders: &[&&str], samples: &[Vec<Sample>]) {
    println!("\n{}\n{:16}{:>9}{:>10}{:>8}{:>10}", load.title, "", "seconds", "MB/s", "x", "CPU s");
    for (name, ours) in contenders.iter().zip(samples) {
        // Time of the first to ours: more is faster.
        let ratios = ours.iter().zip(&samples[0]).map(|(ours, first)| first.seconds / ours.seconds);
        let seconds = median(ours.iter().map(|sample| sample.seconds));
        println!(
            "{name:16}{seconds:>9.3}{:>10.0}{:>8.2}{:>10.2}",
            load.bytes as f64 / seconds / 1e6,
            median(ratios),
            median(ours.iter().map(|sample| sample.busy)),
        );
    }
}

/// The folders, and the servers that stay up.
struct Place {
    hullo: PathBuf,
    folder: PathBuf,
    rsync: Option<Server>,
    ssh: Option<Server>,
}

/// A server that ends with us.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Place {
    fn new(hullo: &Path) -> Outcome<Self> {
        let folder = Path::new("/dev/shm").join(format!("hullo-transfer-{}", std::process::id()));
        let io = |error: std::io::Error| failed(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder.join("from/small")).map_err(io)?;
        let mut noise = Noise::new();
        let mut big = fs::File::create(folder.join("from/big")).map_err(io)?;
        for _ in 0..1024 {
            big.write_all(&noise.bytes(1 << 20)).map_err(io)?;
        }
        for n in 0..10_000 {
            let into = folder.join(format!("from/small/{}", n / 100));
            fs::create_dir_all(&into).map_err(io)?;
            fs::write(into.join(n.to_string()), noise.bytes(4096)).map_err(io)?;
        }
        let (rsync, ssh) = (rsync(&folder)?, ssh(&folder)?);
        Ok(Self { hullo: hullo.to_owned(), folder, rsync, ssh })
    }

    fn has(&self, name: &str) -> bool {
        let has = match name {
            "rsync" => self.rsync.is_some(),
            "scp" => self.ssh.is_some(),
            "iperf3" => found("iperf3"),
            _ => true,
        };
        if !has {
            eprintln!("skipped: {name} is not installed");
        }
        has
    }

    fn measure(&self, name: &str, load: &Load) -> Outcome<Sample> {
        let into = self.folder.join("into");
        let io = |error: std::io::Error| failed(format!("{}: {error}", into.display()));
        if into.exists() {
            fs::remove_dir_all(&into).map_err(io)?;
        }
        fs::create_dir_all(&into).map_err(io)?;
        let from = self.folder.join("from").join(load.name);
        match name {
            "rsync" => {
                let port = self.rsync.as_ref().map_or(0, |server| server.port);
                timed(
                    Command::new("rsync")
                        .args(["-a", "--whole-file"])
                        .arg(from)
                        .arg(format!("rsync://127.0.0.1:{port}/into/")),
                )
            }
            "scp" => {
                let port = self.ssh.as_ref().map_or(0, |server| server.port).to_string();
                let key = self.folder.join("key");
                let mut scp = Command::new("scp");
                scp.args(["-qrp", "-P", &port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
                timed(scp.arg("-i").arg(key).arg(from).arg(format!("127.0.0.1:{}/", into.display())))
            }
            "iperf3" => {
                let port = free_port()?;
                let _server = Server {
                    child: started(Command::new("iperf3").args(["-s", "-1", "-p", &port.to_string()]))?,
                    port: 0,
                };
                listens(port)?;
                timed(Command::new("iperf3").args([
                    "-c",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "-n",
                    &load.bytes.to_string(),
                ]))
            }
            _ => self.hullo(&from, &into, name.ends_with("--plain")),
        }
    }

    fn hullo(&self, from: &Path, into: &Path, plain: bool) -> Outcome<Sample> {
        let port = free_port()?;
        let at = format!("tcp://127.0.0.1:{port}");
        let mut receive = Command::new(&self.hullo);
        receive.env("HULLO_CODE", CODE).args(["receive", "--no-fsync", "--listen", &at, "--into"]).arg(into);
        let mut send = Command::new(&self.hullo);
        send.env("HULLO_CODE", CODE).arg("send").arg(from).arg(&at);
        if plain {
            receive.arg("--plain");
            send.arg("--plain");
        }
        let mut receiver = Server { child: started(&mut receive)?, port: 0 };
        listens(port)?;
        let sample = timed(&mut send)?;
        let status = receiver.child.wait().map_err(|error| failed(error.to_string()))?;
        if status.success() { Ok(sample) } else { Err(failed(format!("hullo receive: {status}"))) }
    }
}

/// A daemon that takes what comes, as its manual shows.
fn rsync(folder: &Path) -> Outcome<Option<Server>> {
    if !found("rsync") {
        return Ok(None);
    }
    let config = folder.join("rsyncd.conf");
    let into = folder.join("into");
    let text =
        format!("use chroot = no\n[into]\npath = {}\nread only = false\nuid = root\ngid = root\n", into.display());
    fs::write(&config, text).map_err(|error| failed(error.to_string()))?;
    let port = free_port()?;
    let mut daemon = Command::new("rsync");
    daemon.args(["--daemon", "--no-detach", "--address", "127.0.0.1", "--port", &port.to_string()]);
    let child = started(daemon.arg("--config").arg(&config))?;
    listens(port)?;
    Ok(Some(Server { child, port }))
}

/// A server with keys of its own.
fn ssh(folder: &Path) -> Outcome<Option<Server>> {
    let sshd = Path::new("/usr/sbin/sshd");
    if !sshd.exists() || !found("scp") {
        return Ok(None);
    }
    for key in ["key", "host"] {
        output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key)))?;
    }
    // The folder that it wants for itself is a system's matter, and may be there.
    let _ = fs::create_dir_all("/run/sshd");
    let port = free_port()?;
    let option = |name: &str, value: &Path| format!("{name}={}", value.display());
    let mut server = Command::new(sshd);
    server.args([
        "-D",
        "-f",
        "/dev/null",
        "-p",
        &port.to_string(),
        "-o",
        "ListenAddress=127.0.0.1",
        "-o",
        "StrictModes=no",
    ]);
    server.args(["-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp"]);
    server.args([
        "-o",
        &option("HostKey", &folder.join("host")),
        "-o",
        &option("AuthorizedKeysFile", &folder.join("key.pub")),
    ]);
    let child = started(&mut server)?;
    listens(port)?;
    Ok(Some(Server { child, port }))
}

/// Runs a program to its end.
fn timed(command: &mut Command) -> Outcome<Sample> {
    let (began, busy) = (Instant::now(), machine::busy()?);
    output(command)?;
    Ok(Sample { seconds: began.elapsed().as_secs_f64(), busy: machine::busy()? - busy })
}

fn started(command: &mut Command) -> Outcome<Child> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().map_err(|error| failed(format!("cannot run {}: {error}", command.get_program().display())))
}

/// Bytes that cannot be compressed (xorshift64).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes
    }
}
