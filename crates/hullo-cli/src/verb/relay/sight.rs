//! `hullo relay :9000 db:5432 --inspect`: what a person sees of what is relayed.

use std::{
    io::{Write, stderr, stdout},
    sync::Arc,
};

use hullo::{
    Error, Result,
    traffic::{Tap, Traffic},
};
use serde_json::json;

use crate::{
    args::See,
    observe::{
        inspect::Inspector,
        live::{self, Live},
        relayed::Relayed,
    },
    report::{Timeline, Voice},
    view::{
        chat::clock::Clock,
        paint,
        relay::page::{Most, Page, Reader, View},
    },
};

/// How much of each piece is shown where nothing is said about it; and of what is shown as hex because it is nothing else.
const SHOWN: usize = 4 << 10;
const NUMBERS: usize = 256;

/// Whoever looks at a relay, and what they look at.
pub(super) struct Sight {
    pub(super) traffic: Arc<Traffic>,
    inspector: Option<Arc<Inspector>>,
    live: Option<Arc<Live>>,
}

impl Sight {
    /// What the words of the command ask for; the others look too. Where stdio is one end of the relay, or stdout is the
    /// recording, it is not free.
    ///
    /// # Errors
    /// There is to be a table where none can be.
    pub(super) fn new(args: &See, on_stdio: bool, others: Vec<Arc<dyn Tap>>, voice: Voice) -> Result<Self> {
        let inspector = args.inspect.map(|_| inspector(args, on_stdio, voice)).transpose()?;
        let live = wants_table(args, on_stdio, voice)?.then(Arc::<Live>::default);
        let mut taps = others;
        taps.extend(inspector.iter().map(|tap| tap.clone() as Arc<dyn Tap>));
        taps.extend(live.iter().map(|tap| tap.clone() as Arc<dyn Tap>));
        // Who reads the pieces reads of beginnings and ends there.
        if voice.verbose && inspector.is_none() {
            taps.push(Arc::new(Relayed(voice)));
        }
        Ok(Self { traffic: Arc::new(Traffic::new(taps)), inspector, live })
    }

    /// Whoever tells what else happens: a table has room for the troubles of each connection.
    pub(super) fn timeline(&self, voice: Voice) -> Timeline {
        if self.live.is_some() { Timeline::of_troubles(voice) } else { Timeline::new(voice) }
    }

    /// Shows what is to be shown, until the person wants all of it to end, or nobody reads it any more.
    ///
    /// # Errors
    /// The terminal's, or that of stdout.
    pub(super) async fn look(&self, title: &str, voice: Voice) -> Result<()> {
        if let Some(live) = &self.live {
            live.run(&self.traffic, title.to_owned()).await?;
            let left = self.traffic.live().len();
            if left > 0 {
                let about = format!("waiting for {left} connections to end; Ctrl-C cuts them off");
                voice.say("ending", &about, json!({ "flows": left }));
            }
            return Ok(());
        }
        match &self.inspector {
            Some(inspector) => Err(inspector.unread().await),
            None => std::future::pending().await,
        }
    }

    /// Shows the last of it, when nothing is relayed any more.
    pub(super) fn finish(&self, voice: Voice) {
        if let Some(inspector) = &self.inspector
            && !inspector.finish()
        {
            voice.say("unread", "the last of what was relayed is not shown: nobody reads it", json!({}));
        }
    }
}

fn inspector(args: &See, on_stdio: bool, voice: Voice) -> Result<Arc<Inspector>> {
    let paint = if on_stdio { paint::on_stderr() } else { paint::on_stdout() };
    let reader = if voice.json { Reader::Program } else { Reader::Person(paint, Clock::here()) };
    let view = args.inspect.unwrap_or_default();
    let max = args.inspect_max.unwrap_or(SHOWN);
    // Numbers that nobody asked for are not read either.
    let hex = if view == View::Hex { max } else { args.inspect_max.unwrap_or(NUMBERS) };
    let page = Page::new(view, Most { text: max, hex }, reader);
    let to: Box<dyn Write + Send> = if on_stdio { Box::new(stderr()) } else { Box::new(stdout()) };
    Inspector::new(view, max, page, to)
}

fn wants_table(args: &See, on_stdio: bool, voice: Voice) -> Result<bool> {
    if args.no_live {
        return Ok(false);
    }
    if args.live {
        return match (voice.json, on_stdio, live::has_terminal()) {
            (true, ..) => Err(Error::usage("--live is for people, and --json for programs")),
            (_, true, _) | (.., false) => Err(live::no_terminal()),
            _ => Ok(true),
        };
    }
    let says_else = voice.json || voice.verbose || args.inspect.is_some() || on_stdio;
    Ok(!says_else && live::has_terminal())
}
