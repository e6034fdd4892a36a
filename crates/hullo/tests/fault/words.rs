//! How faults are written.

use hullo::fault::{COMMON, FAULTS, Fault, Faults, Ways};
use proptest::{collection::vec, option, prelude::*, sample::select};

#[test]
fn every_example_of_the_table_is_read_and_written_as_it_stands() {
    assert!(FAULTS.is_sorted_by(|a, b| a.name < b.name) && COMMON.is_sorted_by(|a, b| a.name < b.name));
    for spec in FAULTS {
        let fault = Fault::parse(spec.example).unwrap_or_else(|error| panic!("{}: {error}", spec.example));
        assert_eq!(fault.kind(), spec.name);
        assert_eq!(Fault::parse(&fault.to_string()).unwrap(), fault);
        assert!(spec.attributes.iter().all(|own| COMMON.iter().all(|common| common.name != own.name)), "{}", spec.name);
    }
}

#[test]
fn the_help_names_every_fault_and_every_attribute() {
    let help = hullo::fault::help();
    let names = FAULTS.iter().flat_map(|spec| {
        spec.attributes.iter().map(|own| format!("\n    ,{}= ", own.name)).chain([format!("\n  {}", spec.name)])
    });
    for name in names.chain(COMMON.iter().map(|common| format!("\n  ,{}= ", common.name))) {
        assert!(help.contains(&name), "no {name:?} in {help}");
    }
    assert!(help.lines().all(|line| line.len() <= 120), "{help}");
}

#[test]
fn what_is_written_has_one_form() {
    let cases = [
        ("latency:0", "latency:0s"),
        ("reset:swallow=true,after=1MB", "reset:swallow=true,after=1MB"),
        ("reset:2s,swallow=true", "reset:2s,swallow=true"),
        ("latency:1500ms~50ms,way=both,p=1", "latency:1s500ms~50ms"),
        ("latency:90s,name=latency", "latency:1m30s"),
        ("timeout:0", "timeout"),
        ("timeout:off,way=down", "timeout:way=down"),
        ("timeout,way=down", "timeout:way=down"),
        ("reset,after=1MB", "reset:after=1MB"),
        ("reset:0s,after=5s", "reset:after=5s"),
        ("limit:1048576", "limit:1MiB"),
        ("limit:1024k,after=1001b", "limit:1MiB,after=1001B"),
        ("limit:1,after=1m", "limit:1B,after=1m"),
        ("limit:1,after=1M", "limit:1B,after=1MiB"),
        ("bandwidth:64kb,per=connection", "bandwidth:64kB"),
        ("bandwidth:64kb,per=peer,every=3,first=9", "bandwidth:64kB,per=peer,first=9,every=3"),
        ("reorder:0.5,by=10ms", "reorder:0.5"),
        ("slicer:100~50,delay=10us,p=0.25", "slicer:100B~50B,delay=10us,p=0.25"),
        ("down,name=a%2Cb", "down:name=a%2Cb"),
    ];
    for (text, written) in cases {
        assert_eq!(Fault::parse(text).unwrap().to_string(), written, "{text}");
    }
    let fault = Fault::parse("latency:1s,way=up,p=0.5,first=2,every=3,name=a%2Cb%25").unwrap();
    assert_eq!((fault.name.as_str(), fault.ways, fault.share), ("a,b%", Ways::Up, 0.5));
    assert_eq!((fault.first, fault.every), (Some(2), Some(3)));
}

#[test]
fn a_mistake_names_itself_and_the_nearest_word() {
    let cases = [
        ("latancy:1s", "no fault is called 'latancy'", "did you mean 'latency'?"),
        ("", "no fault is called ''", "there are: bandwidth, corrupt, down"),
        ("latency", "the fault latency needs TIME[~TIME] behind a colon", "it is written as in latency:200ms~50ms"),
        ("latency:fast", "the fault latency takes TIME[~TIME], not 'fast'", "latency:200ms~50ms"),
        ("latency:1s~", "not '1s~'", "latency:200ms~50ms"),
        ("latency:1s,wya=up", "no attribute of latency is called 'wya'", "did you mean 'way'?"),
        ("latency:1s,per=relay", "no attribute of latency is called 'per'", ""),
        ("latency:1s,way=left", "way of the fault latency takes up, down or both, not 'left'", ""),
        ("latency:1s,p=2", "p of the fault latency takes a number from 0 to 1, not '2'", ""),
        ("latency:1s,p=0.1,p=0.2", "the fault latency has the attribute 'p' twice", ""),
        ("latency:1s,first=0", "first of the fault latency takes a number from 1, not '0'", ""),
        ("latency:1s,every=-1", "takes a number from 1", ""),
        ("latency:1s,50ms", "the fault latency does not understand '50ms'", "as in way=down"),
        ("latency:1s,name=", "name of the fault latency takes a name", ""),
        ("limit:1MB,after=5", "after of the fault limit takes a size like 1MB, or a time like 5s, not '5'", ""),
        ("limit:99999TB", "the fault limit takes SIZE", ""),
        ("slicer:50~50", "the fault slicer takes SIZE[~SIZE], not '50~50'", ""),
        ("slicer:0", "the fault slicer takes SIZE[~SIZE], not '0'", ""),
        ("bandwidth:1MB,per=host", "per of the fault bandwidth takes connection, peer or relay, not 'host'", ""),
        ("corrupt:nan", "the fault corrupt takes SHARE, not 'nan'", ""),
        ("down:5s", "the fault down takes no value, and there is '5s'", "down,first=3"),
        ("down,way=up", "no attribute of down is called 'way'", ""),
        ("down,after=5s", "no attribute of down is called 'after'", ""),
        ("reset:soon", "the fault reset takes TIME, not 'soon'", ""),
        ("\u{1b}[31m", "no fault is called '\\u{1b}[31m'", ""),
    ];
    for (text, about, hint) in cases {
        let error = Fault::parse(text).unwrap_err();
        assert!(error.to_string().contains(about), "{text:?}: {error}");
        assert!(error.advice().unwrap_or_default().contains(hint), "{text:?}: {:?}", error.advice());
    }
}

#[test]
fn a_fault_says_what_it_is_for() {
    let suits = |text: &str, packets| Fault::parse(text).unwrap().suit(packets).map_err(|error| error.to_string());
    assert_eq!(suits("reorder:0.1", false).unwrap_err(), "the fault reorder is for packets, and here is a stream");
    assert_eq!(suits("slicer:10", true).unwrap_err(), "the fault slicer is for streams, and here are packets");
    for text in ["latency:1s", "loss:0.1", "down", "reset"] {
        assert!(suits(text, false).is_ok() && suits(text, true).is_ok(), "{text}");
    }
}

#[test]
fn faults_of_one_name_are_numbered() {
    let faults = Faults::new(1, None);
    let fault = |text| Fault::parse(text).unwrap();
    assert!(faults.is_empty());
    faults.set(vec![fault("latency:1s"), fault("latency:2s"), fault("limit:1,name=latency-2"), fault("latency:3s")]);
    let list: Vec<_> = faults.list().iter().map(ToString::to_string).collect();
    let expected = ["latency:1s", "latency:2s,name=latency-3", "limit:1B,name=latency-2", "latency:3s,name=latency-4"];
    assert_eq!(list, expected);
}

fn word() -> impl Strategy<Value = String> {
    let times = prop_oneof![(0_u64..5_000_000_000_000).prop_map(|ns| format!("{ns}ns")), "[0-9]{1,4}(ms|s|m|h|d|us)?"];
    let sizes =
        prop_oneof![(0_u64..1 << 40).prop_map(|bytes| bytes.to_string()), "[0-9]{1,3}(b|k|kb|KiB|m|M|MB|MiB|g|GB|GiB)"];
    prop_oneof![times, sizes, (0.0_f64..1.0).prop_map(|share| share.to_string()), "[a-z0-9~.%]{0,8}"]
}

/// Something that is often a fault.
fn text() -> impl Strategy<Value = String> {
    let kind = select(FAULTS.iter().map(|spec| spec.name).collect::<Vec<_>>());
    let names = ["after", "every", "first", "name", "p", "way", "per", "by", "delay"];
    let values = prop_oneof![word(), select(vec!["up", "down", "peer", "relay", "3"]).prop_map(str::to_owned)];
    let attributes = vec((select(names.to_vec()), values), 0..3);
    (kind, option::of((word(), option::of(word()))), attributes).prop_map(|(kind, value, attributes)| {
        let value =
            value.map(|(value, spread)| [Some(value), spread].into_iter().flatten().collect::<Vec<_>>().join("~"));
        let words = value.into_iter().chain(attributes.into_iter().map(|(name, value)| format!("{name}={value}")));
        format!("{kind}:{}", words.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_is_read_is_written_as_what_reads_the_same(text in text()) {
        if let Ok(fault) = Fault::parse(&text) {
            let written = fault.to_string();
            let again = Fault::parse(&written);
            prop_assert!(again.is_ok(), "{text} is written as {written}: {again:?}");
            prop_assert_eq!(again.unwrap().to_string(), written);
        }
    }

    #[test]
    fn any_name_survives(name in "\\PC{1,20}") {
        let mut fault = Fault::parse("down").unwrap();
        fault.name = name.clone();
        prop_assert_eq!(Fault::parse(&fault.to_string()).unwrap().name, name);
    }
}
