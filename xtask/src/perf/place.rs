//! Where a measurement takes place: the references that are built for it, certificates, configurations, files to serve.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    peers::{self, Peers},
    run::{Outcome, failed, found, output, root, target},
    transfer::Noise,
};

/// Files to serve: their names, and how long they are.
const FILES: &[(&str, usize)] = &[("1k", 1 << 10), ("1m", 1 << 20), ("1g", 1 << 30)];

/// The programs of `xtask/perf`, and what each one needs besides libc.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("bulk", &[]),
    ("chat", &[]),
    ("echo_tcp", &[]),
    ("echo_udp", &[]),
    ("fan", &[]),
    ("files", &[]),
    ("hello", &[]),
    ("idle", &[]),
    ("load", &[]),
    ("load_udp", &[]),
    ("tls", &["-lssl", "-lcrypto"]),
];

/// How folders of this command begin, in memory, so that no disk is measured.
const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "hullo-perf-";

pub(crate) struct Place {
    pub(crate) hullo: PathBuf,
    /// Where the modules are that scripts need.
    pub(crate) peers: Peers,
    /// In memory, and gone with us.
    folder: PathBuf,
    /// Programs, scripts, logs and samples, which stay.
    kept: PathBuf,
}

impl Place {
    pub(crate) fn new(hullo: PathBuf) -> Outcome<Self> {
        let peers = peers::prepare_contenders();
        sweep();
        let folder = Path::new(MEMORY).join(format!("{PREFIX}{}", std::process::id()));
        let place = Self { hullo, peers, folder, kept: target().join("perf") };
        for folder in [place.folder.join("files"), place.logs(), place.kept.join("bin")] {
            fs::create_dir_all(&folder).map_err(|error| failed(format!("{}: {error}", folder.display())))?;
        }
        place.build()?;
        place.certify()?;
        Ok(place)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.kept.join("logs")
    }

    /// Where the samples of a group are kept.
    pub(crate) fn samples(&self, group: &str) -> PathBuf {
        self.kept.join(format!("{group}.json"))
    }

    /// The words of a command, each with its `{names}` filled in; so a folder's name may have spaces in it.
    pub(crate) fn words(&self, command: &str, names: &[(&str, String)]) -> Vec<String> {
        command.split_whitespace().map(|word| self.fill(word, names)).collect()
    }

    fn fill(&self, text: &str, names: &[(&str, String)]) -> String {
        let mut text = text
            .replace("{hullo}", &self.hullo.display().to_string())
            .replace("{c}", &self.kept.join("bin").display().to_string())
            .replace("{scripts}", &sources().display().to_string())
            .replace("{folder}", &self.folder.display().to_string());
        for (name, value) in names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// A server's configuration: the file of that name in `xtask/perf`, filled in.
    pub(crate) fn configuration(&self, name: &str, names: &[(&str, String)]) -> Outcome<PathBuf> {
        let port = names.first().map_or("", |(_, port)| port);
        let text = self.fill(&read(&sources().join(name))?, names);
        let path = self.folder.join(format!("{port}-{name}"));
        write(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The files to serve, which are large, and made when a group asks for them.
    pub(crate) fn fill_files(&self) -> Outcome {
        let mut noise = Noise::new();
        for (name, size) in FILES {
            let path = self.folder.join("files").join(name);
            if path.exists() {
                continue;
            }
            let io = |error: std::io::Error| failed(format!("{}: {error}", path.display()));
            let mut file = fs::File::create(&path).map_err(io)?;
            for _ in 0..size.div_ceil(1 << 20) {
                file.write_all(&noise.bytes((*size).min(1 << 20))).map_err(io)?;
            }
        }
        Ok(())
    }

    /// Builds what is not there, or older than any file that it may be made of.
    fn build(&self) -> Outcome {
        let Some(compiler) = ["cc", "gcc", "clang"].into_iter().find(|compiler| found(compiler)) else {
            return Err(failed("there is no C compiler for the references: apt-get install gcc libc6-dev libssl-dev"));
        };
        let newest =
            fs::read_dir(sources()).into_iter().flatten().flatten().filter_map(|entry| changed(&entry.path())).max();
        for (name, libraries) in PROGRAMS {
            let (source, program) = (sources().join(format!("{name}.c")), self.kept.join("bin").join(name));
            if changed(&program) > newest {
                continue;
            }
            let mut command = Command::new(compiler);
            command.args(["-O2", "-Wall", "-Wextra", "-o"]).arg(&program).arg(&source).args(*libraries);
            match output(&mut command) {
                Err(failure) if libraries.is_empty() => return Err(failure),
                // Its rows are skipped, and the others are measured.
                Err(_) => eprintln!("skipped: {name}.c is not built, for want of headers: apt-get install libssl-dev"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// A certificate of an elliptic curve's key, as servers have it today.
    fn certify(&self) -> Outcome {
        if !found("openssl") {
            eprintln!("skipped: there are no certificates without openssl (apt-get install openssl)");
            return Ok(());
        }
        let (key, certificate) = (self.folder.join("key.pem"), self.folder.join("certificate.pem"));
        let mut request = Command::new("openssl");
        request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        request.args(["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        output(request.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        write(&self.folder.join("both.pem"), [read(&key)?, read(&certificate)?].concat().as_bytes())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next run sweeps what cannot be removed now.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of runs that were killed.
fn sweep() {
    for entry in fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(id).exists() {
            // It is somebody else's, if it cannot be removed.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn sources() -> PathBuf {
    root().join("xtask/perf")
}

fn changed(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|facts| facts.modified()).ok()
}

pub(crate) fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| failed(format!("{}: {error}", path.display())))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Outcome {
    fs::write(path, bytes).map_err(|error| failed(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        let place = Place {
            hullo: "/a b/hullo".into(),
            peers: Peers::default(),
            folder: "/nowhere/hullo-perf-0".into(),
            kept: "/kept".into(),
        };
        let words = place.words("{hullo} serve echo tcp://127.0.0.1:{port}", &[("port", "7".to_owned())]);
        assert_eq!(words, ["/a b/hullo", "serve", "echo", "tcp://127.0.0.1:7"]);
        assert_eq!(place.words("{c}/load", &[]), ["/kept/bin/load"]);
    }

    #[test]
    fn every_program_of_the_table_has_its_source() {
        for (name, _) in PROGRAMS {
            assert!(sources().join(format!("{name}.c")).is_file(), "{name}");
        }
    }
}
