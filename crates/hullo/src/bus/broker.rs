//! Where the brokers are, as their addresses say, with what is secret kept apart.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};

const HINT: &str = "brokers are named like nats://host:4222 or tls://user:password@host, several with commas between";

/// One broker. Its `address` may be shown, and who we are there may not.
#[derive(Clone)]
pub(super) struct Broker {
    /// Without name and password.
    pub(super) address: Url,
    pub(super) login: Login,
}

/// How we show who we are.
#[derive(Clone)]
pub(super) enum Login {
    Nobody,
    Token(String),
    Password(String, String),
}

/// The brokers of that list, of which there is at least one.
pub(super) fn read(list: &str) -> Result<Vec<Broker>> {
    list.split(',').map(|url| Broker::read(url.trim())).collect()
}

impl Broker {
    fn read(text: &str) -> Result<Self> {
        // What cannot be read may have a password in it, and is not shown.
        let wrong = |why: &'static str| Error::usage("cannot read the address of a broker").because(why).hint(HINT);
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
        let mut address: Url = with_scheme.parse().map_err(|_| wrong("it is no URL"))?;
        if !["nats", "tls"].contains(&address.scheme()) {
            return Err(wrong("it begins neither with nats:// nor with tls://"));
        }
        if address.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it has no host"));
        }
        if !["", "/"].contains(&address.path()) || address.query().is_some() || address.fragment().is_some() {
            return Err(wrong("something follows its port"));
        }
        let login = login(&address);
        // Neither fails where there is a host.
        let _ = (address.set_username(""), address.set_password(None));
        address.set_path("");
        Ok(Self { address, login })
    }
}

/// A name without a password is a token, as all clients of NATS have it.
fn login(address: &Url) -> Login {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (address.username(), address.password()) {
        ("", None) => Login::Nobody,
        (token, None) => Login::Token(plain(token)),
        (user, Some(password)) => Login::Password(plain(user), plain(password)),
    }
}

#[cfg(all(test, feature = "nats"))]
pub(super) use tests::Running;

#[cfg(feature = "nats")]
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
#[cfg(test)]
mod tests {
    use std::{
        env, fs, io,
        path::PathBuf,
        process::{self, Child, Command, Stdio},
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use async_nats::jetstream::{self, Context};
    use rustix::process::Pid;
    use tokio::time::sleep;

    use super::*;

    /// A broker with a store of its own, killed on drop.
    pub(in crate::bus) struct Running {
        pub(in crate::bus) folder: PathBuf,
        words: Vec<&'static str>,
        pub(in crate::bus) port: u16,
        child: Option<Child>,
    }

    impl Running {
        pub(in crate::bus) async fn start(words: &[&'static str]) -> Option<Self> {
            let mut broker = Self::absent(words);
            broker.run("-1")?;
            broker.port = loop {
                let ports = fs::read_dir(&broker.folder).unwrap().map(|entry| entry.unwrap().path());
                let ports = ports.filter(|path| path.extension().is_some_and(|extension| extension == "ports"));
                let text = ports.last().map(|path| fs::read_to_string(path).unwrap()).unwrap_or_default();
                // {"nats":["nats://127.0.0.1:40000"], …}
                if let Some((_, rest)) = text.split_once("nats://127.0.0.1:") {
                    break rest.split('"').next().unwrap().parse().unwrap();
                }
                sleep(Duration::from_millis(5)).await;
            };
            Some(broker)
        }

        /// One whose port is free.
        pub(in crate::bus) fn absent(words: &[&'static str]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let folder = format!("hullo-bus-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
            let folder = env::temp_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            Self { folder, words: words.to_vec(), port, child: None }
        }

        fn run(&mut self, port: &str) -> Option<()> {
            let mut command = Command::new("nats-server");
            command.args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"]).arg(&self.folder).args(&self.words);
            command.arg("-sd").arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
            match command.spawn() {
                Ok(child) => self.child = Some(child),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    assert!(env::var("HULLO_PEERS").as_deref() != Ok("all"), "no nats-server");
                    eprintln!("skipped: no nats-server");
                    return None;
                }
                Err(error) => panic!("nats-server: {error}"),
            }
            Some(())
        }

        /// At the port that it had.
        pub(in crate::bus) fn restart(&mut self) -> Option<()> {
            self.kill();
            self.run(&self.port.to_string())
        }

        pub(in crate::bus) fn id(&self) -> Pid {
            Pid::from_child(self.child.as_ref().unwrap())
        }

        pub(in crate::bus) fn kill(&mut self) {
            if let Some(mut child) = self.child.take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }

        pub(in crate::bus) fn url(&self) -> String {
            format!("nats://127.0.0.1:{}", self.port)
        }

        /// For what others do to it.
        pub(in crate::bus) async fn context(&self) -> Context {
            jetstream::new(async_nats::connect(self.url()).await.unwrap())
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.kill();
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn what_is_secret_is_kept_apart() {
        let brokers = read("nats://ann:s%40fe@one:4222, tls://two,t0ken@[::1]:5").unwrap();
        let shown: Vec<_> = brokers.iter().map(|broker| broker.address.to_string()).collect();
        assert_eq!(shown, ["nats://one:4222", "tls://two", "nats://[::1]:5"]);
        assert!(matches!(&brokers[0].login, Login::Password(user, password) if user == "ann" && password == "s@fe"));
        assert!(matches!(brokers[1].login, Login::Nobody));
        assert!(matches!(&brokers[2].login, Login::Token(token) if token == "t0ken"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_its_secrets() {
        for text in ["", "nats://", "http://u:hunter2@x", "nats://u:hunter2@x/y", "nats://u:hunter2@x:port", "a,,b"] {
            let error = read(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(!format!("{error} {:?}", error.advice()).contains("hunter2"), "{text}: {error}");
        }
    }
}
