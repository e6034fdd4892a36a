//! What Prometheus reads, under the names that Toxiproxy has.

use std::{fmt::Write, sync::Arc};

use super::proxy::{Proxy, Shown};

pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The bytes of each proxy, of the connections that live included.
///
/// What a relay has taken and not handed on yet is counted nowhere: so what was received and what was sent are the same.
pub(super) fn page(proxies: &[Arc<Proxy>]) -> String {
    let mut page = String::new();
    let all: Vec<_> = proxies.iter().map(|proxy| (proxy.name(), proxy.shown(), proxy.total())).collect();
    for (metric, about) in [("received", "Bytes that have come"), ("sent", "Bytes that have been handed on")] {
        let metric = format!("toxiproxy_proxy_{metric}_bytes_total");
        // Writing to a text cannot fail.
        let _ = write!(page, "# HELP {metric} {about}.\n# TYPE {metric} counter\n");
        for (name, shown, total) in &all {
            for (direction, bytes) in [("downstream", total.down), ("upstream", total.up)] {
                let _ = writeln!(page, "{metric}{{{}}} {bytes}", labels(direction, name, shown));
            }
        }
    }
    page
}

fn labels(direction: &str, name: &str, shown: &Shown) -> String {
    // Options may name a password, and metrics are kept for long and shown to many.
    let bare = |place: &str| escaped(place.split(['?', '#']).next().unwrap_or_default());
    let (listener, proxy, upstream) = (bare(&shown.listen), escaped(name), bare(&shown.upstream));
    format!("direction=\"{direction}\",listener=\"{listener}\",proxy=\"{proxy}\",upstream=\"{upstream}\"")
}

/// The value of a label, as the format of Prometheus has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
