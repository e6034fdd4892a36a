//! How long each step took.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hullo::{Event, Watch};
use serde_json::{Value, json};

use crate::{
    report::START,
    view::{paint, timeline},
};

/// The steps of the last exchange, and the time of all of them.
pub(super) struct Timing {
    inner: Option<Arc<dyn Watch>>,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    exchanges: u32,
    remote: Option<String>,
    begun: Option<Instant>,
    ends: Vec<(&'static str, Instant)>,
}

/// How wide the bars are.
const WIDTH: f64 = 40.0;

impl Timing {
    /// One that passes everything on to `inner`.
    pub(super) fn new(inner: Option<Arc<dyn Watch>>) -> Arc<Self> {
        Arc::new(Self { inner, marks: Mutex::default() })
    }

    /// An exchange begins; the steps of the one before it were on the way only.
    pub(super) fn begin(&self) {
        let mut marks = self.lock();
        marks.exchanges += 1;
        marks.begun = Some(Instant::now());
        marks.ends.clear();
    }

    /// The body is there.
    pub(super) fn end(&self) {
        self.mark("download");
    }

    fn mark(&self, step: &'static str) {
        self.lock().ends.push((step, Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who answered.
    pub(super) fn remote(&self) -> Option<String> {
        self.lock().remote.clone()
    }

    /// Each step with its beginning and its length, and the whole since we began.
    fn steps(&self) -> (Vec<(&'static str, Duration, Duration)>, Duration) {
        let marks = self.lock();
        let begun = marks.begun.unwrap_or(*START);
        let mut from = begun;
        let steps = marks.ends.iter().map(|(step, end)| {
            let step = (*step, from - begun, *end - from);
            from = *end;
            step
        });
        (steps.collect(), START.elapsed())
    }

    /// The numbers, in milliseconds.
    pub(super) fn facts(&self) -> Value {
        let (steps, total) = self.steps();
        let ms = |time: Duration| json!((time.as_secs_f64() * 1e6).round() / 1e3);
        let mut facts = json!({ "exchanges": self.lock().exchanges, "total_ms": ms(total) });
        for (step, _, length) in steps {
            facts[format!("{step}_ms")] = ms(length);
        }
        facts
    }

    /// The steps as a table with bars.
    pub(super) fn table(&self) -> String {
        let (steps, total) = self.steps();
        let paint = paint::on_stderr();
        let whole = steps.last().map_or(Duration::ZERO, |(_, from, length)| *from + *length).as_secs_f64().max(1e-9);
        let mut lines: Vec<_> = steps
            .iter()
            .map(|(step, from, length)| {
                let at = |time: f64| (time / whole * WIDTH).round() as usize;
                let (left, right) = (at(from.as_secs_f64()), at((*from + *length).as_secs_f64()));
                let bar = format!("{}{}", " ".repeat(left), "▇".repeat((right - left).max(1)));
                format!("{step:<9}{}  {}", timeline::clock(*length), paint.name(&bar))
            })
            .collect();
        let exchanges = self.lock().exchanges;
        let on_the_way = if exchanges > 1 { format!("  with {} on the way", exchanges - 1) } else { String::new() };
        lines.push(format!("{:<9}{}{on_the_way}", "total", timeline::clock(total)));
        lines.join("\n")
    }
}

impl Watch for Timing {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Resolved { .. } => self.mark("resolve"),
            Event::Connected { peer } => {
                self.lock().remote = peer.remote().net().map(|address| address.to_string());
                self.mark("connect");
            }
            Event::Secured(_) => self.mark("tls"),
            Event::FirstByte { .. } => self.mark("waiting"),
            _ => {}
        }
        if let Some(inner) = &self.inner {
            inner.event(event);
        }
    }
}
