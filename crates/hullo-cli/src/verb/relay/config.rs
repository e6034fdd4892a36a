//! `hullo relay --config FILE`: several relays with their faults, as TOML; or a list of proxies with their toxics, as the
//! JSON of Toxiproxy.

use std::{path::Path, sync::Arc, time::Duration};

use hullo::{
    Address, Error, Kind, Result,
    fault::Fault,
    options,
    service::relay::{Balance, Plan},
    toxiproxy::Toxiproxy,
};
use serde::Deserialize;

use super::{leading, listening, told};
use crate::report::Voice;

/// What a file says.
#[derive(Debug)]
pub(super) enum Config {
    Relays(Vec<One>),
    /// Toxiproxy's, which reads it itself.
    Toxiproxy(Vec<u8>),
}

/// One relay.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct One {
    name: String,
    listen: String,
    to: Vec<String>,
    #[serde(default)]
    balance: How,
    check: Option<String>,
    tee: Option<String>,
    #[serde(default)]
    faults: Vec<String>,
}

/// How a server is chosen, as `--balance` says it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    #[default]
    First,
    RoundRobin,
    Least,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    relay: Vec<One>,
}

impl Config {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let about = || format!("cannot read the configuration {}", file.display());
        let bytes = std::fs::read(file).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        Self::of(bytes).map_err(|error| Error::usage(about()).because(error).hint(HINT))
    }

    /// Has all of them listen, and says where.
    pub(super) async fn open(
        self,
        proxies: &Toxiproxy,
        plans: impl Fn(Arc<str>, Vec<Address>, Vec<Fault>) -> Plan,
        voice: Voice,
    ) -> Result<()> {
        match self {
            Self::Toxiproxy(json) => proxies.load(&json).await?.into_iter().for_each(|relay| drop(told(relay, voice))),
            Self::Relays(relays) => {
                let planned: Vec<_> = relays.iter().map(|relay| relay.plan(&plans)).collect::<Result<_>>()?;
                for (at, plan) in planned {
                    told(proxies.add(&at, plan).await?, voice);
                }
            }
        }
        Ok(())
    }

    fn of(bytes: Vec<u8>) -> Result<Self> {
        if is_json(&bytes) {
            return Ok(Self::Toxiproxy(bytes));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("it is no text"))?;
        let File { relay } = toml::from_str(text).map_err(|error| Error::usage("it is no TOML").because(error))?;
        Ok(Self::Relays(relay))
    }
}

const HINT: &str = "a relay is [[relay]] with name = \"db\", listen = \"tcp://:9000\" and to = [\"tcp://127.0.0.1:5432\"]; \
                    a list of Toxiproxy's proxies is read too";

/// Whether it is a list of objects: a file of TOML has no `{` behind its first `[`.
fn is_json(bytes: &[u8]) -> bool {
    let mut signs = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    signs.next() == Some(&b'[') && matches!(signs.next(), Some(b'{' | b']'))
}

impl One {
    /// Where it listens, and what it does: `plans` makes a plan of a name, of where it leads, and of faults.
    fn plan(&self, plans: impl Fn(Arc<str>, Vec<Address>, Vec<Fault>) -> Plan) -> Result<(Address, Plan)> {
        let to = self.to.iter().map(|text| leading(text.parse()?)).collect::<Result<_>>()?;
        let faults = self.faults.iter().map(|text| Fault::parse(text)).collect::<Result<_>>()?;
        let mut plan = plans(self.name.as_str().into(), to, faults);
        plan.balance = self.balance.into();
        plan.check = self.check.as_deref().map(time).transpose()?;
        plan.tee = self.tee.as_deref().map(|text| leading(text.parse()?)).transpose()?;
        Ok((listening(self.listen.parse()?)?, plan))
    }
}

fn time(text: &str) -> Result<Duration> {
    let time = options::time(text).flatten().filter(|time| !time.is_zero());
    time.ok_or_else(|| Error::usage(format!("check is a time like 5s, and not '{text}'")))
}

impl From<How> for Balance {
    fn from(how: How) -> Self {
        match how {
            How::First => Self::First,
            How::RoundRobin => Self::RoundRobin,
            How::Least => Self::Least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::faults::Maker, *};

    fn planned(relay: &One) -> Result<(Address, Plan)> {
        relay.plan(super::super::plans(Maker::quiet(), Arc::default()))
    }

    #[test]
    fn a_file_is_told_by_how_it_begins() {
        for (text, json) in [
            ("[{\"name\":\"a\"}]", true),
            (" \n[ \n {}]", true),
            ("[]", true),
            ("[[relay]]\nname = \"a\"", false),
            ("# first\n[[relay]]", false),
            ("", false),
        ] {
            assert_eq!(is_json(text.as_bytes()), json, "{text}");
        }
    }

    #[test]
    fn relays_are_read_with_their_faults() {
        let text = "[[relay]]\nname = \"db\"\nlisten = \"tcp://127.0.0.1:0\"\nto = [\"tcp://a:1\", \"tls://b:2\"]\n\
                    balance = \"round-robin\"\ncheck = \"5s\"\ntee = \"udp://127.0.0.1:9\"\n\
                    faults = [\"latency:200ms~50ms,way=down\", \"bandwidth:1MB\"]\n";
        let Config::Relays(relays) = Config::of(text.into()).unwrap() else { panic!("it is TOML") };
        let (at, plan) = planned(&relays[0]).unwrap();
        assert_eq!((at.bare().to_string().as_str(), &*plan.name, plan.to.len()), ("tcp://127.0.0.1:0", "db", 2));
        assert_eq!(plan.balance, Balance::RoundRobin);
        assert_eq!(plan.check, Some(Duration::from_secs(5)));
        assert_eq!(plan.tee.unwrap().to_string(), "udp://127.0.0.1:9");
        let faults: Vec<_> = plan.faults.unwrap().list().iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["latency:200ms~50ms,way=down", "bandwidth:1MB"]);
    }

    #[test]
    fn mistakes_are_said() {
        let relay = "[[relay]]\nname = \"a\"\nlisten = \":0\"\nto = [\"tcp://a:1\"]\n";
        for (more, wanted) in [
            ("faults = [\"latncy:1s\"]", "latncy"),
            ("check = \"soon\"", "check is a time like 5s, and not 'soon'"),
            ("tee = \"nowhere://a\"", "nowhere"),
            ("balance = \"best\"", "best"),
            ("colour = \"red\"", "colour"),
        ] {
            let outcome = Config::of(format!("{relay}{more}\n").into()).and_then(|config| match config {
                Config::Relays(relays) => planned(&relays[0]).map(drop),
                Config::Toxiproxy(_) => panic!("it is TOML"),
            });
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(wanted), "{more}: {error}");
        }
        assert!(Config::of("relay = 5".into()).is_err());
    }
}
