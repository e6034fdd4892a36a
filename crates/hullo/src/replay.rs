//! Recorded conversations, led again: the client's side is said anew to some address, and its answers are compared.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use hullo::{Scope, capture, replay::{self, Pace, Plan}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hullo::Result<()> {
//! let (file, capture) = capture::open(Path::new("talk.pcapng"))?;
//! let plan = Plan { pace: Pace::Fast, expect: true, ..Plan::to("tcp://127.0.0.1:7007".parse()?) };
//! let summary = replay::replay(file, capture.conversations, &plan, &Scope::default(), Arc::new(|_| {})).await?;
//! assert_eq!(summary.different, 0);
//! # Ok(())
//! # }
//! ```

use std::{fs::File, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use crate::{
    address::Address,
    capture::Conversation,
    error::{Error, Kind, Result},
    scope::Scope,
};

mod compare;
mod ends;
mod play;
mod script;
mod turns;

pub use compare::Difference;

use turns::Turns;

/// Conversations that go on at once; the next ones wait: each has file descriptors, and the file may be anybody's.
const MOST: usize = 1024;

/// How conversations are led again.
#[derive(Clone, Debug)]
pub struct Plan {
    /// With whom.
    pub to: Address,
    /// When what is said.
    pub pace: Pace,
    /// Whether the answers are compared.
    pub expect: bool,
    /// How long an answer may not come.
    pub patience: Duration,
}

/// When what is said.
///
/// In any case what the client said after an answer waits until as much of an answer has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As it was, so many times as fast.
    Recorded(f64),
    /// As fast as the other end takes it. Conversations that were one after the other still are.
    Fast,
}

/// What a replay tells of as it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// Something was answered in the conversation of that number.
    Answer(u64, &'a [u8]),
    /// A conversation is over.
    Over(&'a Outcome),
}

/// Whoever hears them.
pub type Tell = Arc<dyn Fn(News<'_>) + Send + Sync>;

/// How a conversation went.
#[derive(Debug)]
pub struct Outcome {
    /// Its number.
    pub number: u64,
    /// How many bytes were said.
    pub sent: u64,
    /// How many were answered.
    pub received: u64,
    /// Where the answers were other ones, when they are compared.
    pub difference: Option<Difference>,
    /// What went wrong.
    pub error: Option<Error>,
}

/// How all of them went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Conversations.
    pub conversations: u64,
    /// Bytes that were said.
    pub sent: u64,
    /// Bytes that were answered.
    pub received: u64,
    /// Conversations that came to their end without a difference.
    pub same: u64,
    /// Conversations with other answers.
    pub different: u64,
    /// Conversations that could not be led to their end.
    pub failed: u64,
}

impl Plan {
    /// A plan with the recorded timing, which compares nothing.
    pub fn to(to: Address) -> Self {
        Self { to, pace: Pace::Recorded(1.0), expect: false, patience: Duration::from_secs(5) }
    }
}

/// Leads the conversations again, each as a connection of its own.
///
/// # Errors
/// Of one of them it is not known what was said; nothing is then said of any. What goes wrong with a conversation is in its
/// [`Outcome`].
pub async fn replay(
    file: File,
    conversations: Vec<Conversation>,
    plan: &Plan,
    scope: &Scope,
    tell: Tell,
) -> Result<Summary> {
    conversations.iter().try_for_each(known)?;
    let file = Arc::new(file);
    let mut turns = Turns::new(&conversations, plan.pace);
    let (mut next, mut running, mut summary) = (0, FuturesUnordered::new(), Summary::default());
    loop {
        while next < conversations.len() && running.len() < MOST && turns.may_begin(next) {
            let (conversation, file, tell, clock) = (&conversations[next], file.clone(), tell.clone(), turns.clock());
            let number = next;
            running.push(async move { (number, play::play(conversation, file, plan, scope, clock, tell).await) });
            next += 1;
        }
        let due = turns.due(next);
        tokio::select! {
            Some((number, outcome)) = running.next() => {
                turns.over(number);
                summary.add(&outcome);
                tell(News::Over(&outcome));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            else => return Ok(summary),
        }
    }
}

/// Refuses a conversation of which something is missing.
fn known(conversation: &Conversation) -> Result<()> {
    let Some(fault) = &conversation.fault else { return Ok(()) };
    let Conversation { number, client, server, .. } = conversation;
    let about = format!("conversation {number}, {client} to {server}, cannot be led again: {fault}");
    Err(Error::new(Kind::Cut, about).hint("choose others with --flow, as in --flow 1 --flow 3"))
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.conversations += 1;
        self.sent += outcome.sent;
        self.received += outcome.received;
        self.same += u64::from(outcome.difference.is_none() && outcome.error.is_none());
        self.different += u64::from(outcome.difference.is_some());
        self.failed += u64::from(outcome.error.is_some());
    }
}
