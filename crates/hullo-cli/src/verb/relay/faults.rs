//! What goes wrong on purpose, and the log of it.

use std::{sync::Arc, time::Instant};

use hullo::{
    Result,
    fault::{Fault, Faults, Hit, Log},
};
use serde_json::{Value, json};

use crate::{args, observe::lines::Lines, report::Voice};

/// What makes the faults of each relay: one seed and one log for all of them.
#[derive(Clone)]
pub(super) struct Maker {
    seed: u64,
    tell: Log,
    log: Option<Arc<Lines>>,
    /// Whether faults may be added to a relay at any time.
    has_api: bool,
    /// Whether chance may have a part in it, and nobody chose what it is drawn from.
    is_drawn: bool,
}

impl Maker {
    /// The maker that the words of the command ask for.
    pub(super) fn of(args: &args::Relay, voice: Voice) -> Result<Self> {
        let log = args.fault_log.as_ref().map(|file| Lines::open("log of faults", Some(file)).map(Arc::new));
        let log = log.transpose()?;
        let is_drawn = args.seed.is_none() && (!args.fault.is_empty() || args.api.is_some() || args.config.is_some());
        let has_api = args.api.is_some();
        Ok(Self { has_api, seed: args.seed.unwrap_or_else(any_seed), tell: teller(log.clone(), voice), log, is_drawn })
    }

    /// The faults of one relay. Where there are none, and nobody can add any, the kernel may move the bytes.
    pub(super) fn make(&self, list: Vec<Fault>) -> Option<Arc<Faults>> {
        (self.has_api || !list.is_empty()).then(|| {
            let faults = Faults::new(self.seed, Some(self.tell.clone()));
            faults.set(list);
            Arc::new(faults)
        })
    }

    /// Tells how to have the same again.
    pub(super) fn tell(&self, voice: Voice) {
        let seed = self.seed;
        if self.is_drawn {
            voice.say("seed", &format!("  --seed {seed} makes the same faults again"), json!({ "seed": seed }));
        }
    }

    /// Sees to it that the last lines of the log are written.
    pub(super) fn finish(&self) {
        if let Some(lines) = &self.log {
            lines.finish();
        }
    }

    /// One that tells nobody.
    #[cfg(test)]
    pub(super) fn quiet() -> Self {
        Self { has_api: true, seed: 7, tell: Arc::new(|_| {}), log: None, is_drawn: false }
    }
}

fn teller(log: Option<Arc<Lines>>, voice: Voice) -> Log {
    let begun = Instant::now();
    Arc::new(move |hit: &Hit| {
        let seconds = begun.elapsed().as_secs_f64();
        match &log {
            Some(lines) if voice.json => lines.write(&object(hit, seconds), |lost| json!({ "lost": lost }).to_string()),
            Some(lines) => lines.write(&format!("{seconds:.3} {hit}"), |lost| format!("# {lost} lines were lost")),
            None if voice.json || voice.verbose => voice.say("fault", &format!("fault {hit}"), facts(hit, seconds)),
            None => {}
        }
    })
}

fn facts(hit: &Hit, seconds: f64) -> Value {
    let way = hit.way.map(|way| way.to_string());
    json!({ "time": seconds, "conversation": hit.flow, "way": way, "fault": hit.fault, "what": hit.what })
}

fn object(hit: &Hit, seconds: f64) -> String {
    facts(hit, seconds).to_string()
}

/// A number of six digits, which people can type.
fn any_seed() -> u64 {
    let mut bytes = [0; 8];
    // Where the system has no randomness, any number does: nothing secret is made of it.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % 1_000_000,
        Err(_) => u64::from(std::process::id()),
    }
}
