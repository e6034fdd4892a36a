//! Toxics: the table of their types, and each as the fault that it is.

use http::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    answer::Problem,
    json::{Fields, wrong},
};
use crate::fault::{Fault, Ways};

/// A line of the table of types.
pub(super) struct Kind {
    name: &'static str,
    /// In the order in which they are listed.
    attributes: &'static [(&'static str, Sort)],
    /// The fault that it is with these values; none where nothing goes wrong.
    fault: fn(&[Value]) -> Option<String>,
}

/// What an attribute is.
#[derive(Clone, Copy)]
enum Sort {
    Whole,
    Real,
    Text,
}

/// The value of an attribute. What is not said is zero.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Whole(i64),
    Real(f64),
    Text(String),
}

use Sort::{Real, Text, Whole};

/// Every type. The last one is hullo's own: any fault there is.
const KINDS: &[Kind] = &[
    Kind {
        name: "latency",
        attributes: &[("latency", Whole), ("jitter", Whole)],
        fault: |values| Some(format!("latency:{}ms~{}ms", time(values, 0), time(values, 1))),
    },
    Kind {
        name: "bandwidth",
        attributes: &[("rate", Whole)],
        fault: |values| Some(format!("bandwidth:{}", size(amount(values, 0).saturating_mul(KB)))),
    },
    Kind {
        name: "slow_close",
        attributes: &[("delay", Whole)],
        fault: |values| Some(format!("slow_close:{}ms", time(values, 0))),
    },
    Kind {
        name: "timeout",
        attributes: &[("timeout", Whole)],
        fault: |values| Some(timed("timeout", time(values, 0))),
    },
    Kind {
        name: "reset_peer",
        attributes: &[("timeout", Whole)],
        fault: |values| Some(timed("reset", time(values, 0)) + ",swallow=true"),
    },
    Kind {
        name: "slicer",
        attributes: &[("average_size", Whole), ("size_variation", Whole), ("delay", Whole)],
        fault: |values| {
            let (size, delay) = (size(amount(values, 0)), time(values, 2));
            // Toxiproxy says that it must be less, and never ends where it is not.
            let variation = amount(values, 1).min(size.saturating_sub(1));
            (size > 0).then(|| format!("slicer:{size}~{variation},delay={delay}us"))
        },
    },
    Kind {
        name: "limit_data",
        attributes: &[("bytes", Whole)],
        fault: |values| Some(format!("limit:{}", size(amount(values, 0)))),
    },
    Kind {
        name: "packet_loss",
        attributes: &[("loss_rate", Real), ("correlation", Real)],
        fault: |values| Some(format!("loss:{},correlation={}", share(values, 0), share(values, 1))),
    },
    Kind { name: "noop", attributes: &[], fault: |_| None },
    OWN,
];

/// Hullo's own.
const OWN: Kind = Kind {
    name: FAULT,
    attributes: &[("fault", Text)],
    fault: |values| match values.first() {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    },
};

const FAULT: &str = "fault";

/// What Toxiproxy means by it.
const KB: u64 = 1000;

/// A fault that may have a time; nothing is none.
fn timed(fault: &str, ms: u64) -> String {
    if ms == 0 { fault.to_owned() } else { format!("{fault}:{ms}ms") }
}

/// A fault of a proxy, as Toxiproxy's clients see it.
#[derive(Clone)]
pub(super) struct Toxic {
    pub(super) name: String,
    kind: &'static Kind,
    /// As it was written.
    stream: String,
    ways: Ways,
    toxicity: f32,
    values: Vec<Value>,
    fault: Option<Fault>,
}

impl Toxic {
    /// The toxic that a client asks for. `taken` says which names there are; everything is judged in the order in which
    /// Toxiproxy does.
    pub(super) fn asked(fields: &Fields, taken: impl Fn(&str) -> bool) -> Result<Self, Problem> {
        let (name, kind, stream) = (fields.text("name")?, fields.text("type")?, fields.text("stream")?);
        let toxicity = fields.real("toxicity")?.map(float);
        fields.inner("attributes")?;
        let way = stream.as_deref().map(way).transpose()?;
        let kind = kind.unwrap_or_default();
        let unnamed = || format!("{kind}_{}", stream.as_deref().unwrap_or(DOWN));
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(unnamed);
        let kind = KINDS.iter().find(|known| known.name == kind).ok_or_else(|| Problem::bad("invalid toxic type"))?;
        if taken(&name) {
            return Err(Problem::new(StatusCode::CONFLICT, "toxic already exists"));
        }
        let zeros = kind.attributes.iter().map(|(_, sort)| sort.zero()).collect();
        let values = kind.values(&fields.inner("attributes")?, zeros)?;
        // A fault in hullo's words says these in them, unless the client does beside them.
        let worded = kind.fault(&values)?.filter(|_| kind.name == FAULT);
        let ways = way.or_else(|| Some(worded.as_ref()?.ways)).unwrap_or(Ways::Down);
        let toxicity = toxicity.or_else(|| Some(float(worded.as_ref()?.share))).unwrap_or(1.0);
        let stream = stream.unwrap_or_else(|| shown(ways).to_owned());
        Self { name, kind, stream, ways, toxicity, values, fault: None }.with_fault()
    }

    /// A fault that was planned elsewhere.
    pub(super) fn planned(fault: Fault) -> Self {
        let (name, stream) = (fault.name.clone(), shown(fault.ways).to_owned());
        let (ways, toxicity, values) = (fault.ways, float(fault.share), vec![Value::Text(fault.to_string())]);
        Self { name, kind: &OWN, stream, ways, toxicity, values, fault: Some(fault) }
    }

    /// The same with what a client says anew: its toxicity, and some of its attributes.
    pub(super) fn changed(&self, fields: &Fields) -> Result<Self, Problem> {
        let values = self.kind.values(&fields.inner("attributes")?, self.values.clone())?;
        let toxicity = fields.real("toxicity")?.map_or(self.toxicity, float);
        Self { values, toxicity, ..self.clone() }.with_fault()
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }

    pub(super) fn is_up(&self) -> bool {
        self.stream.eq_ignore_ascii_case(UP)
    }

    /// The same with the fault that it is.
    fn with_fault(mut self) -> Result<Self, Problem> {
        self.fault = self.kind.fault(&self.values)?;
        if let Some(fault) = &mut self.fault {
            fault.name.clone_from(&self.name);
            fault.ways = self.ways;
            fault.share = f64::from(self.toxicity).clamp(0.0, 1.0);
        }
        Ok(self)
    }
}

const UP: &str = "upstream";
const DOWN: &str = "downstream";

fn way(stream: &str) -> Result<Ways, Problem> {
    match stream.to_ascii_lowercase().as_str() {
        UP => Ok(Ways::Up),
        DOWN => Ok(Ways::Down),
        _ => Err(Problem::bad("stream was invalid, can be either upstream or downstream")),
    }
}

/// Clients know two streams; what concerns both is shown with the answers.
fn shown(ways: Ways) -> &'static str {
    match ways {
        Ways::Up => UP,
        Ways::Down | Ways::Both => DOWN,
    }
}

/// Toxiproxy has it in 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "what does not fit is no share of anything")]
fn float(toxicity: f64) -> f32 {
    toxicity as f32
}

impl Kind {
    fn fault(&self, values: &[Value]) -> Result<Option<Fault>, Problem> {
        Ok((self.fault)(values).map(|text| Fault::parse(&text)).transpose()?)
    }

    /// The values that a client says, and those that it does not from `otherwise`.
    fn values(&self, said: &Fields, otherwise: Vec<Value>) -> Result<Vec<Value>, Problem> {
        let one = |((name, sort), otherwise): (&(&str, Sort), Value)| {
            let value = match sort {
                Whole => said.whole(name)?.map(Value::Whole),
                Real => said.real(name)?.map(Value::Real),
                Text => said.text(name)?.map(Value::Text),
            };
            Ok(value.unwrap_or(otherwise))
        };
        self.attributes.iter().zip(otherwise).map(one).collect()
    }
}

impl Sort {
    fn zero(self) -> Value {
        match self {
            Whole => Value::Whole(0),
            Real => Value::Real(0.0),
            Text => Value::Text(String::new()),
        }
    }
}

/// A number of something; less than nothing is nothing.
fn amount(values: &[Value], at: usize) -> u64 {
    match values.get(at) {
        Some(Value::Whole(value)) => u64::try_from(*value).unwrap_or(0),
        _ => 0,
    }
}

/// As many bytes as a fault can be about.
fn size(bytes: u64) -> u64 {
    bytes.min(1 << 40)
}

/// The same for a time in thousandths, or less, of a second; none is longer than ten years.
fn time(values: &[Value], at: usize) -> u64 {
    amount(values, at).min(315_360_000_000)
}

fn share(values: &[Value], at: usize) -> f64 {
    match values.get(at) {
        Some(Value::Real(value)) => value.clamp(0.0, 1.0),
        _ => 0.0,
    }
}

impl Serialize for Toxic {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_map(Some(5))?;
        fields.serialize_entry("attributes", &Attributes(self))?;
        fields.serialize_entry("name", &self.name)?;
        fields.serialize_entry("type", self.kind.name)?;
        fields.serialize_entry("stream", &self.stream)?;
        fields.serialize_entry("toxicity", &Number(self.toxicity))?;
        fields.end()
    }
}

struct Attributes<'a>(&'a Toxic);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Toxic { kind, values, .. } = self.0;
        to.collect_map(kind.attributes.iter().map(|(name, _)| name).zip(values))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(value) => to.serialize_i64(*value),
            Self::Real(value) => Number(*value).serialize(to),
            Self::Text(value) => to.serialize_str(value),
        }
    }
}

/// A number that is written without a fraction where it has none: clients read `1`, and not `1.0`, as a toxicity.
struct Number<T>(T);

impl<T: Serialize + Copy + Into<f64>> Serialize for Number<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value: f64 = self.0.into();
        #[allow(clippy::cast_possible_truncation, reason = "it is small, and has no fraction")]
        if value.fract() == 0.0 && value.abs() < 1e15 { to.serialize_i64(value as i64) } else { self.0.serialize(to) }
    }
}

/// The fields of a toxic, out of a value.
pub(super) fn fields(value: serde_json::Value) -> Result<Fields, Problem> {
    match value {
        serde_json::Value::Object(_) => Fields::of(value, "a toxic"),
        other => Err(wrong("a toxic", "an object", &other)),
    }
}
