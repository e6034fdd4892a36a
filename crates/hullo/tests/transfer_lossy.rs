#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! A whole transfer over packets of which one in five is lost, and others come twice or overtake each other.
//!
//! The work on files is done by threads, for which no clock can be stopped: this is real time, with small delays.

mod common;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use common::{Folder, address, in_time, serving};
use hullo::{
    Limits, Scope,
    transfer::{Code, Existing, Host, Lock, Source, Target, Tell, Work, connect},
};

/// A way on which everything happens that can.
const ROUGH: &str = "packets=true&delay=1ms&jitter=2ms&loss=0.2&duplicate=0.1";

/// Names and contents: nothing, little, as much as several packets, and as much as several chunks.
fn album(seed: usize) -> Vec<(String, Vec<u8>)> {
    let sizes = [0, 1, 1199, 1200, 1201, 65_536, 300_000, 1_500_001];
    let noise = |size: usize| {
        let mut noise = vec![0; size];
        blake3::Hasher::new().update(&(seed + size).to_le_bytes()).finalize_xof().fill(&mut noise);
        noise
    };
    sizes.iter().map(|&size| (format!("of {size}"), noise(size))).collect()
}

/// The hash of each file, by names.
fn hashes(folder: &Path) -> BTreeMap<String, blake3::Hash> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let hash = |path: &Path| blake3::hash(&fs::read(path).unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), hash(&entry.path()))).collect()
}

async fn transferred(seed: usize, sender_waits: bool, lock: Lock) {
    let what = format!("seed {seed}, the sender waits: {sender_waits}, {lock:?}");
    let (here, there) = (Folder::new(), Folder::new());
    let album_at = here.path().join("album");
    fs::create_dir(&album_at).unwrap();
    for (name, content) in album(seed) {
        fs::write(album_at.join(name), content).unwrap();
    }
    let into = there.path().to_owned();
    let target = Target { into, existing: Existing::Refuse, durable: false, outside_links: false };
    let (send, receive) = (Work::Send(vec![Source::Path(album_at.clone())]), Work::Receive(target));
    let (first, second) = if sender_waits { (send, receive) } else { (receive, send) };
    let silent: Tell = Arc::new(|_| {});
    let host = Host::new(first, lock.clone(), Some(1), silent.clone());
    let at = format!("memory://lossy-{seed}-{sender_waits}?{ROUGH}&seed={seed}");
    let server = serving(&at, host.clone()).await;
    let (scope, patience) = (Scope::new(Limits::default(), None), (Duration::ZERO, Duration::ZERO));
    let to = address(&server.address().bare().to_string());
    let (came, waited) =
        in_time(&what, async { tokio::join!(connect(&to, &second, &lock, &scope, patience, silent), host.ended()) })
            .await;
    for sum in [came, waited] {
        let sum = sum.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((sum.done, sum.failed, sum.bytes), (8, 0, 1_869_138), "{what}");
    }
    assert_eq!(hashes(&album_at), hashes(&there.path().join("album")), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_arrives_on_a_rough_way_in_either_direction() {
    let code = || Lock::Code(Code::read("7-quiet-harbour").unwrap());
    let cases = (1..=3).flat_map(|seed| {
        [(seed, true, Lock::Plain), (seed, false, Lock::Plain), (seed + 10, true, code()), (seed + 10, false, code())]
    });
    let all = cases.map(|(seed, sender_waits, lock)| transferred(seed, sender_waits, lock));
    futures_util::future::join_all(all).await;
}
