//! The certificates of a server, and what is wrong with them.

use std::time::SystemTime;

use hullo::{Certificate, Shown};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::report::shown;

/// Under the words of a line of the timeline.
const INDENT: &str = "              ";

/// All of them, a few lines each, and a line for each fault.
pub(crate) fn lines(server: &Shown) -> String {
    let mut text = match server.chain.len() {
        1 => "the server shows its certificate".to_owned(),
        n => format!("the server shows {n} certificates"),
    };
    for (at, certificate) in server.chain.iter().enumerate() {
        text += &format!("\n{INDENT}{}  {}", at + 1, line(&certificate.subject));
        for (name, value) in rows(certificate) {
            text += &format!("\n{INDENT}   {name:<11}  {}", line(&value));
        }
    }
    for fault in &server.faults {
        let mark = if fault.grave { "wrong" } else { "warning" };
        text += &format!("\n{INDENT}{mark}: {}", line(&fault.words));
    }
    text
}

fn rows(certificate: &Certificate) -> [(&'static str, String); 6] {
    let Certificate { issuer, names, from, until, key, bits, signature, fingerprint, key_fingerprint, .. } =
        certificate;
    let left = match SystemTime::now().duration_since(*until) {
        Ok(over) => format!("expired {} days ago", over.as_secs() / 86_400),
        Err(_) => format!("{} days left", days_left(*until)),
    };
    let key = if *bits == 0 || key.contains(&bits.to_string()) { key.clone() } else { format!("{key} {bits}") };
    let may = if certificate.authority { "; may vouch for others" } else { "" };
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    [
        ("issued by", issuer.clone()),
        ("names", names),
        ("valid", format!("{} to {}, {left}", date(*from), date(*until))),
        ("key", format!("{key}, signed by {signature}{may}")),
        ("fingerprint", fingerprint.clone()),
        ("its key's", key_fingerprint.clone()),
    ]
}

/// The same as one JSON object.
pub(crate) fn facts(server: &Shown) -> Value {
    let chain: Vec<_> = server.chain.iter().map(one).collect();
    let faults =
        |grave| server.faults.iter().filter(|fault| fault.grave == grave).map(|fault| &fault.words).collect::<Vec<_>>();
    json!({ "chain": chain, "wrong": faults(true), "warnings": faults(false) })
}

fn one(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject, "issuer": certificate.issuer, "names": certificate.names,
        "from": moment(certificate.from), "until": moment(certificate.until), "days_left": days_left(certificate.until),
        "key": certificate.key, "bits": certificate.bits, "signature": certificate.signature,
        "authority": certificate.authority, "fingerprint": certificate.fingerprint,
        "key_fingerprint": certificate.key_fingerprint,
    })
}

/// Whole days from now on; of what is over a number below zero.
pub(crate) fn days_left(until: SystemTime) -> i64 {
    (OffsetDateTime::from(until) - OffsetDateTime::now_utc()).as_seconds_f64().div_euclid(86_400.0) as i64
}

/// The day, as people write it who sort it.
pub(crate) fn date(at: SystemTime) -> String {
    OffsetDateTime::from(at).date().to_string()
}

/// The second, as RFC 3339 has it.
fn moment(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
}

/// What somebody else has written, in one line.
fn line(text: &str) -> String {
    shown(text).replace('\n', "\\n")
}
