//! Lists of addresses and networks: how they are written, and what they come to.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{Error, Kind, Result, brief};

/// What is said about a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

/// Networks, and what is said about each.
#[derive(Default)]
pub(super) struct Lists {
    networks: HashMap<IpNet, Verdict>,
    /// The lengths of the prefixes that there are, of either family.
    lengths: [BTreeSet<u8>; 2],
    /// Who is in none of them may not come.
    closed: bool,
}

impl Lists {
    /// Whether somebody at that address may come.
    pub(super) fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let lengths = self.lengths[usize::from(address.is_ipv6())].iter().rev();
        let verdict = lengths.filter_map(|length| IpNet::new(address, *length).ok()).find_map(|network| {
            // The most specific one is met first.
            self.networks.get(&network.trunc()).copied()
        });
        verdict.map_or(!self.closed, |verdict| verdict == Verdict::Allow)
    }

    /// How many networks there are.
    pub(super) fn len(&self) -> usize {
        self.networks.len()
    }

    fn add(&mut self, network: IpNet, verdict: Verdict) {
        self.lengths[usize::from(network.addr().is_ipv6())].insert(network.prefix_len());
        match self.networks.entry(network) {
            Entry::Vacant(entry) => drop(entry.insert(verdict)),
            // Of two that are the same the denied one holds.
            Entry::Occupied(mut entry) if verdict == Verdict::Deny => drop(entry.insert(verdict)),
            Entry::Occupied(_) => {}
        }
    }
}

/// A network as it is written: an address is one of its own.
fn network(text: &str) -> Result<IpNet> {
    let address = IpAddr::from_str(text).map(IpNet::from);
    let network = address.or_else(|_| IpNet::from_str(text)).map_err(|_| {
        Error::usage(format!("'{}' is no address and no network", brief(text)))
            .hint("write them like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32; a file is @FILE")
    })?;
    if network != network.trunc() {
        let error = Error::usage(format!("'{text}' is an address inside a network, and not a network"));
        return Err(error.hint(format!("write {} or {}", network.trunc(), network.addr())));
    }
    Ok(plain(network))
}

/// The network as one of IPv4, where it is one inside IPv6.
fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let inside = |wide: Ipv6Net| Ipv4Net::new(wide.addr().to_ipv4_mapped()?, wide.prefix_len().checked_sub(96)?).ok();
    inside(wide).map_or(network, IpNet::V4)
}

/// Lists as they were written.
pub(super) struct Written {
    said: Vec<(Verdict, IpNet)>,
    files: Mutex<Vec<Listed>>,
    closed: bool,
    has_files: bool,
}

/// A file, and what was in it.
struct Listed {
    path: PathBuf,
    verdict: Verdict,
    networks: Vec<IpNet>,
    stamp: Option<Stamp>,
}

/// What looking at the files has shown.
#[derive(Default)]
pub(super) struct News {
    pub(super) lists: Option<Lists>,
    pub(super) troubles: Vec<Error>,
}

impl Written {
    pub(super) fn read(allow: &[String], deny: &[String]) -> Result<(Self, Lists)> {
        let (mut said, mut files) = (Vec::new(), Vec::new());
        let words =
            allow.iter().map(|word| (Verdict::Allow, word)).chain(deny.iter().map(|word| (Verdict::Deny, word)));
        for (verdict, word) in words {
            match word.strip_prefix('@') {
                None => said.push((verdict, network(word)?)),
                Some(path) => {
                    let (path, stamp) = (PathBuf::from(path), Stamp::of(Path::new(path)));
                    files.push(Listed { networks: read(&path)?, path, verdict, stamp });
                }
            }
        }
        let has_files = !files.is_empty();
        let written = Self { said, files: Mutex::new(files), closed: !allow.is_empty(), has_files };
        let lists = written.lists();
        Ok((written, lists))
    }

    pub(super) fn has_files(&self) -> bool {
        self.has_files
    }

    /// Reads the files that have changed. One that cannot be read, or makes no sense, keeps what it said.
    pub(super) fn look(&self) -> News {
        let mut news = News::default();
        let mut changed = false;
        for file in &mut *self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            let stamp = Stamp::of(&file.path);
            if stamp == file.stamp && !stamp.as_ref().is_some_and(Stamp::is_fresh) {
                continue;
            }
            let known = std::mem::replace(&mut file.stamp, stamp) == file.stamp;
            match read(&file.path) {
                Ok(networks) => {
                    changed |= networks != file.networks;
                    file.networks = networks;
                }
                // It has been said already.
                Err(_) if known => {}
                Err(error) => news.troubles.push(error),
            }
        }
        news.lists = changed.then(|| self.lists());
        news
    }

    fn lists(&self) -> Lists {
        let mut lists = Lists { closed: self.closed, ..Lists::default() };
        for (verdict, network) in &self.said {
            lists.add(*network, *verdict);
        }
        for file in &*self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            for network in &file.networks {
                lists.add(*network, file.verdict);
            }
        }
        lists
    }
}

/// The networks in a file, one a line.
fn read(path: &Path) -> Result<Vec<IpNet>> {
    let about = || format!("cannot read who may come from {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()));
    let network = |(at, word)| {
        network(word).map_err(|error| {
            let told = Error::new(Kind::File, format!("{}, line {at}", about())).because(error.to_string());
            match error.advice() {
                Some(hint) => told.hint(hint.to_owned()),
                None => told,
            }
        })
    };
    lines.filter(|(_, word)| !word.is_empty()).map(network).collect()
}

/// What tells that a file was written to or replaced.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    place: [u64; 3],
    changed: (i64, i64),
    written: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok()?;
        let place = [facts.dev(), facts.ino(), facts.size()];
        Some(Self { place, changed: (facts.ctime(), facts.ctime_nsec()), written: facts.modified().ok() })
    }

    /// Whether it was written to just now: once more at the same moment of the kernel's clock would not be seen.
    fn is_fresh(&self) -> bool {
        let age = self.written.and_then(|written| SystemTime::now().duration_since(written).ok());
        age.is_some_and(|age| age < Duration::from_secs(2))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn lists(allow: &str, deny: &str) -> Lists {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Written::read(&words(allow), &words(deny)).unwrap().1
    }

    #[test]
    fn the_most_specific_network_decides() {
        let cases: &[(&str, &str, &str, &str)] = &[
            // Allowed, denied, who may come, who may not.
            ("", "", "10.0.0.1 ::1", ""),
            ("", "10.0.0.0/8", "11.0.0.1 ::1", "10.0.0.1 10.255.255.255 ::ffff:10.0.0.1"),
            ("10.0.0.0/8", "", "10.0.0.1 ::ffff:10.0.0.1", "11.0.0.1 ::1"),
            ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1 10.2.0.1", "10.1.0.1 11.0.0.1"),
            ("10.1.2.3 10.1.0.0/16", "10.0.0.0/8 10.1.2.0/24", "10.1.2.3 10.1.3.1", "10.1.2.4 10.0.0.1 192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.0/8", "", "10.0.0.1 11.0.0.1"),
            ("0.0.0.0/0", "", "1.2.3.4", "::1 2001:db8::1"),
            ("::/0", "", "2001:db8::1", "1.2.3.4 ::ffff:1.2.3.4"),
            ("2001:db8::/32", "2001:db8:1::/48", "2001:db8::1", "2001:db8:1::1 2001:db9::1"),
            ("::ffff:10.0.0.0/104", "", "10.0.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.7", "", "10.0.0.7", "10.0.0.8"),
            ("", "0.0.0.0/0 ::/0", "", "1.2.3.4 ::1"),
            ("127.0.0.1", "0.0.0.0/0", "127.0.0.1", "127.0.0.2 ::1"),
        ];
        for (allow, deny, good, bad) in cases {
            let lists = lists(allow, deny);
            let may = |address: &&str| lists.allow(address.parse().unwrap());
            assert!(good.split_whitespace().all(|address| may(&address)), "+{allow} -{deny}: one of {good} may not");
            assert!(!bad.split_whitespace().any(|address| may(&address)), "+{allow} -{deny}: one of {bad} may");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (word, said) in [
            ("10.0.0", "no address and no network"),
            ("10.0.0.0/33", "no address and no network"),
            ("localhost", "no address and no network"),
            ("10.0.0.1/8", "an address inside a network"),
            ("", "no address and no network"),
        ] {
            let error = network(word).unwrap_err();
            assert!(error.to_string().contains(said) && error.advice().is_some(), "{word}: {error}");
        }
        assert_eq!(network("10.0.0.1/8").unwrap_err().advice(), Some("write 10.0.0.0/8 or 10.0.0.1"));
    }
}
