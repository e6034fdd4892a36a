#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The fuzz targets over their corpus: what fuzzing once found, and what it began with, stays right.

#[path = "../../../fuzz/bodies.rs"]
#[allow(unreachable_pub, reason = "it is the fuzz targets' own")]
mod bodies;

use std::{collections::BTreeSet, fs, panic, path::Path};

use bodies::TARGETS;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_target_has_a_corpus_and_a_file() {
    let targets = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&corpus()), targets, "the folders of fuzz/corpus, and TARGETS");
    let files = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&corpus().join("../fuzz_targets")), files, "the files of fuzz/fuzz_targets, and TARGETS");
}

#[test]
fn the_corpus_runs_through_every_target() {
    for (target, body) in TARGETS {
        let folder = corpus().join(target);
        let files = names(&folder);
        assert!(files.len() >= 5, "the corpus of {target} is small");
        let wrong: Vec<_> = files
            .iter()
            .filter(|file| {
                let bytes = fs::read(folder.join(file)).unwrap();
                panic::catch_unwind(|| body(&bytes)).is_err()
            })
            .collect();
        assert!(wrong.is_empty(), "{target} fails on {wrong:?} of {}", folder.display());
    }
}

/// A target that accepted everything would prove nothing: each sees good input in its corpus, and bad.
#[test]
fn the_corpus_has_good_and_bad_of_each_kind() {
    let texts = |target: &str| {
        let folder = corpus().join(target);
        names(&folder).into_iter().map(move |file| fs::read(folder.join(file)).unwrap()).collect::<Vec<_>>()
    };
    let addresses = texts("address").into_iter().filter_map(|bytes| String::from_utf8(bytes).ok());
    let (good, bad): (Vec<_>, Vec<_>) = addresses.partition(|text| text.parse::<hullo::Address>().is_ok());
    assert!(good.len() >= 5 && bad.len() >= 5, "{} good addresses, {} bad", good.len(), bad.len());
    let framings: BTreeSet<_> =
        texts("framing").iter().map(|bytes| bytes[0] as usize % hullo::framing::FRAMINGS.len()).collect();
    assert_eq!(framings, (0..hullo::framing::FRAMINGS.len()).collect(), "every framing has a file");
    let faults: Vec<_> = texts("fault").into_iter().filter_map(|bytes| String::from_utf8(bytes).ok()).collect();
    let (good, bad): (Vec<_>, Vec<_>) = faults.iter().partition(|text| text.parse::<hullo::fault::Fault>().is_ok());
    assert!(bad.len() >= 8, "{} bad faults", bad.len());
    for spec in hullo::fault::FAULTS {
        assert!(good.iter().any(|text| text.starts_with(spec.name)), "no good fault of the kind {}", spec.name);
    }
    let is_plain = |bytes: &&Vec<u8>| hullo::http1::Line::of(&bytes[1..]).is_some_and(|line| line.end().is_some());
    let heads = texts("head");
    let plain = heads.iter().filter(is_plain).count();
    assert!(plain >= 2 && heads.len() - plain >= 5, "{plain} plain heads of {}", heads.len());
    let packets = texts("packet");
    let good = packets.iter().filter(|bytes| hullo::reliable::packet::Packet::read(bytes).is_some()).count();
    assert!(good >= 8 && packets.len() - good >= 8, "{good} good packets of {}", packets.len());
    let headers = texts("proxy");
    let good = headers.iter().filter(|bytes| is_header(&bytes[1..])).count();
    assert!(good >= 10 && headers.len() - good >= 10, "{good} good PROXY headers of {}", headers.len());
    let asked = texts("connect").into_iter().filter(|bytes| bytes[0] == 0).collect::<Vec<_>>();
    let good = asked.iter().filter(|bytes| matches!(hullo::proxy::connect::request(&bytes[1..]), Ok(Some(_)))).count();
    assert!(good >= 3 && asked.len() - good >= 5, "{good} good requests for a tunnel of {}", asked.len());
    let socks = texts("socks").into_iter().map(|bytes| bytes[0] % 7).collect::<BTreeSet<_>>();
    assert_eq!(socks, (0..7).collect(), "everything that is said in SOCKS has a file");
    let words = texts("transfer_words");
    let (good, bad): (Vec<_>, Vec<_>) = words.iter().partition(|bytes| whole(bytes));
    assert!(good.len() >= 4 && bad.len() >= 8, "{} good words of a transfer, {} bad", good.len(), bad.len());
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let said =
            texts("bench").into_iter().filter(|bytes| (bytes[0] & 0x80 != 0) == (version == http::Version::HTTP_2));
        let exchange = hullo::bench::Exchange::new(http::Method::GET);
        let heard = said.map(|bytes| exchange.replies(version, 4, [&bytes[1..]])).collect::<Vec<_>>();
        let good = heard.iter().filter(|(replies, end)| !replies.is_empty() && end.is_ok()).count();
        assert!(good >= 3 && heard.len() - good >= 3, "{good} good answers under load of {}, {version:?}", heard.len());
    }
    let ways = hullo::framing::FRAMINGS.len() + 3;
    for way in 0..ways {
        let said = texts("bench_messages").into_iter().filter(|bytes| usize::from(bytes[0]) % ways == way).count();
        assert!(said >= 2, "{said} of the ways in which messages are told apart, {way}");
    }
    let stamps = texts("stamps").iter().filter(|bytes| hullo::stamps::Stamp::read(bytes).is_some()).count();
    assert!(stamps >= 4, "{stamps} good stamps");
    let said = texts("tls");
    let kinds = said.iter().filter(|bytes| bytes[0] & 8 == 0).map(|bytes| bytes[0] & 7).collect::<BTreeSet<_>>();
    assert_eq!(kinds, (0..8).collect(), "each end has each cipher");
    let strangers = said.iter().filter(|bytes| bytes[0] & 8 != 0).map(|bytes| bytes[0] & 4).collect::<BTreeSet<_>>();
    assert_eq!(strangers.len(), 2, "each end meets strangers");
    let certificates = texts("certificate");
    let good = certificates.iter().filter(|bytes| hullo::Certificate::read(bytes).is_some()).count();
    assert!(good >= 5 && certificates.len() - good >= 5, "{good} good certificates of {}", certificates.len());
    let captures = texts("capture");
    let good = captures.iter().filter(|bytes| hullo::capture::read(&bytes[..]).is_ok_and(|read| found(&read))).count();
    assert!(good >= 8 && captures.len() - good >= 5, "{good} good captures of {}", captures.len());
    let chat: Vec<_> = texts("chat").into_iter().filter_map(|bytes| String::from_utf8(bytes).ok()).collect();
    for (what, is_good) in KINDS {
        let good = chat.iter().filter(|text| is_good(text)).count();
        assert!(good >= 5 && chat.len() - good >= 5, "{good} good {what} of a chat in {}", chat.len());
    }
}

/// Whether bytes begin with a PROXY header.
fn is_header(bytes: &[u8]) -> bool {
    hullo::proxy_header::Reader::default().read(bytes).is_ok_and(|(_, header)| header.is_some())
}

/// Whether there are conversations in a capture, and all of them are whole.
fn found(capture: &hullo::capture::Capture) -> bool {
    let conversations = &capture.conversations;
    !conversations.is_empty() && conversations.iter().all(|one| one.fault.is_none() && !one.events.is_empty())
}

/// Something that a text may be, and whether it is that.
type Reading = (&'static str, fn(&str) -> bool);

/// What a text of a chat may be.
const KINDS: &[Reading] = &[
    ("events", |text| serde_json::from_str::<hullo::chat::Event>(text).is_ok()),
    ("requests", |text| serde_json::from_str::<hullo::chat::Asked>(text).is_ok()),
    ("commands", |text| text.starts_with('/') && hullo::chat::typed::typed(text, "lobby").is_ok()),
    ("names", |text| hullo::chat::name::nick(text).is_ok()),
];

/// Whether a chunk of a transfer is frames to its end.
fn whole(bytes: &[u8]) -> bool {
    use hullo::transfer::words::{Answer, Told, next};
    let mut rest = &bytes[1..];
    while !rest.is_empty() {
        let next = match bytes[0] & 1 {
            0 => next::<Told<'_>>(&mut rest).map(drop),
            _ => next::<Answer<'_>>(&mut rest).map(drop),
        };
        if next.is_err() {
            return false;
        }
    }
    true
}
