//! What goes wrong on purpose, and the log of it.

use std::{sync::Arc, time::Instant};

use hullo::{
    Result,
    fault::{Faults, Hit},
};
use serde_json::{Value, json};

use crate::{args, observe::lines::Lines, report::Voice};

/// What goes wrong.
#[derive(Default)]
pub(super) struct Trouble {
    pub(super) faults: Option<Arc<Faults>>,
    log: Option<Arc<Lines>>,
    /// The number that chance is drawn from, where nobody chose it.
    seed: Option<u64>,
}

impl Trouble {
    /// Tells how to have the same again.
    pub(super) fn tell(&self, voice: Voice) {
        if let Some(seed) = self.seed {
            voice.say("seed", &format!("  --seed {seed} makes the same faults again"), json!({ "seed": seed }));
        }
    }

    /// Sees to it that the last lines of the log are written.
    pub(super) fn finish(&self) {
        if let Some(lines) = &self.log {
            lines.finish();
        }
    }
}

/// The faults of the command line, if there are some, and their log.
pub(super) fn of(args: &args::Relay, voice: Voice) -> Result<Trouble> {
    let lines = args.fault_log.as_ref().map(|file| Lines::open("log of faults", Some(file)).map(Arc::new));
    let lines = lines.transpose()?;
    if args.fault.is_empty() {
        return Ok(Trouble { log: lines, ..Trouble::default() });
    }
    let seed = args.seed.unwrap_or_else(any_seed);
    let (log, begun) = (lines.clone(), Instant::now());
    let tell = move |hit: &Hit| {
        let seconds = begun.elapsed().as_secs_f64();
        match &log {
            Some(lines) if voice.json => lines.write(&object(hit, seconds), |lost| json!({ "lost": lost }).to_string()),
            Some(lines) => lines.write(&format!("{seconds:.3} {hit}"), |lost| format!("# {lost} lines were lost")),
            None if voice.json || voice.verbose => voice.say("fault", &format!("fault {hit}"), facts(hit, seconds)),
            None => {}
        }
    };
    let faults = Faults::new(seed, Some(Arc::new(tell)));
    faults.set(args.fault.clone());
    Ok(Trouble { faults: Some(Arc::new(faults)), log: lines, seed: args.seed.is_none().then_some(seed) })
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
