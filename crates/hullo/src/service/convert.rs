//! `hullo serve convert udp://:8030 tcp://:8030`: temperatures from one scale to another.
//!
//! `36.6` is °C and becomes `97.88 °F`; `97.88F` becomes °C; `300 K` becomes °C; `20 C to K` says what it wants.

use std::sync::Arc;

use super::{Answer, Needs, Reply, Spec};
use crate::{
    error::{Error, Result},
    message::Message,
    peer::Peer,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "convert",
    about: "converts temperatures between °C, °F and K",
    sample: "36.6",
    takes: &[],
    needs: Needs::Nothing,
    make: |_| Ok(Arc::new(Answer(Convert))),
};

/// The converter of temperatures.
pub struct Convert;

impl Reply for Convert {
    async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
        convert(&message.to_text()).map(|answer| Some(Message::text(answer)))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Celsius,
    Fahrenheit,
    Kelvin,
}

use Scale::{Celsius, Fahrenheit, Kelvin};

fn convert(text: &str) -> Result<String> {
    let text = text.trim();
    let shown: String = text.escape_debug().take(60).collect();
    let wrong = || {
        let about = format!("'{shown}' is not a temperature; send one like 36.6, 97.88F, 300 K or '20 C to K'");
        Error::usage(about)
    };
    let lower = text.to_lowercase();
    let (from, to) = match lower.split_once(" to ").or_else(|| lower.split_once(" in ")) {
        Some((from, to)) => (from.trim(), Some(scale(to).ok_or_else(wrong)?)),
        None => (lower.as_str(), None),
    };
    // The number ends where the unit begins; an 'e' belongs to it only between digits, and no scale is called that.
    let end = from.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |at| at + 1);
    let number: f64 = from[..end].trim().replace('\u{2212}', "-").parse().map_err(|_| wrong())?;
    let unit = if from[end..].trim().is_empty() { Celsius } else { scale(&from[end..]).ok_or_else(wrong)? };
    let to = to.unwrap_or(if unit == Celsius { Fahrenheit } else { Celsius });
    let kelvin = match unit {
        Celsius => number + 273.15,
        Fahrenheit => (number + 459.67) / 1.8,
        Kelvin => number,
    };
    // Not through kelvin where it can be avoided: 36.6 must not become 97.87999999999997.
    let value = match (unit, to) {
        (Celsius, Fahrenheit) => number * 1.8 + 32.0,
        (Fahrenheit, Celsius) => (number - 32.0) / 1.8,
        (same, to) if same == to => number,
        (_, Celsius) => kelvin - 273.15,
        (_, Fahrenheit) => kelvin * 1.8 - 459.67,
        (_, Kelvin) => kelvin,
    };
    if !number.is_finite() || !value.is_finite() {
        return Err(wrong());
    }
    if kelvin < -1e-9 {
        return Err(Error::usage(format!("'{shown}' is below absolute zero, which is -273.15 °C")));
    }
    let sign = match to {
        Celsius => "°C",
        Fahrenheit => "°F",
        Kelvin => "K",
    };
    Ok(format!("{} {sign}", rounded(value)))
}

fn scale(text: &str) -> Option<Scale> {
    match text.trim().trim_start_matches('°').trim_start_matches("deg").trim() {
        "c" | "celsius" | "centigrade" => Some(Celsius),
        "f" | "fahrenheit" => Some(Fahrenheit),
        "k" | "kelvin" => Some(Kelvin),
        _ => None,
    }
}

/// At most two decimals, and no zeros that say nothing.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::convert;

    #[test]
    fn temperatures_convert() {
        for (question, answer) in [
            ("36.6", "97.88 °F"),
            ("97.88F", "36.6 °C"),
            ("300 K", "26.85 °C"),
            ("20 C to K", "293.15 K"),
            ("-40", "-40 °F"),
            ("100 °C in fahrenheit\r\n", "212 °F"),
            ("1e2", "212 °F"),
            ("0 K", "-273.15 °C"),
            ("-459.67 F", "-273.15 °C"),
            ("0", "32 °F"),
            ("-17.7777777 C", "0 °F"),
        ] {
            assert_eq!(convert(question).unwrap(), answer, "{question}");
        }
    }

    #[test]
    fn what_is_no_temperature_is_said() {
        for question in ["", "warm", "12 X", "nan", "inf", "1e999", "20 C to", "20 C to Q", "--3", "e", "é", "3é"] {
            let error = convert(question).unwrap_err().to_string();
            assert!(error.contains("is not a temperature"), "{question}: {error}");
        }
        assert!(convert("-300").unwrap_err().to_string().contains("absolute zero"));
    }
}
