//! One conversation, led again.

use std::{fs::File, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    News, Outcome, Plan, Tell,
    compare::Compare,
    ends::{Ear, Mouth, open},
    script::{Say, Step, steps},
    turns::Clock,
};
use crate::{
    capture::{Conversation, What},
    dial::dial,
    error::{Error, Kind, Result},
    link::Link,
    message::Message,
    scope::Scope,
    traffic::Way,
};

/// How long more may come than then, where nobody says that it does not.
const MORE: Duration = Duration::from_millis(200);

/// What the mouth knows of the ear.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    count: u64,
    ended: bool,
}

/// How long the other end may take nothing.
const STALLED: Duration = Duration::from_secs(60);

/// Leads a conversation again, by that clock.
pub(super) async fn play(
    conversation: &Conversation,
    file: Arc<File>,
    plan: &Plan,
    scope: &Scope,
    clock: Clock,
    tell: Tell,
) -> Outcome {
    let mut outcome = Outcome { number: conversation.number, sent: 0, received: 0, difference: None, error: None };
    match dial(&plan.to, scope).await {
        Ok(link) => talk(link, conversation, file, plan, clock, &tell, &mut outcome).await,
        Err(error) => outcome.error = Some(error),
    }
    outcome
}

async fn talk(
    link: Link,
    conversation: &Conversation,
    file: Arc<File>,
    plan: &Plan,
    clock: Clock,
    tell: &Tell,
    outcome: &mut Outcome,
) {
    let (mouth, ear) = open(link);
    let by_messages = conversation.messages && ear.has_messages();
    let compare = Compare::new(file.clone(), conversation, by_messages, plan.expect);
    let (heard, hears) = watch::channel(Heard::default());
    let (said, is_said) = watch::channel(None);
    let steps = steps(conversation, by_messages);
    let patience = plan.patience;
    let mut talker = Talker { mouth, file, patience, clock, heard: hears, hurries: false, sent: 0 };
    let mut listener = Listener { ear, compare, conversation, patience, heard, said: is_said, received: 0, tell };
    let talking = async {
        let talked = talker.say_all(&steps).await;
        said.send_replace(Some(Instant::now()));
        talked
    };
    let (talked, listened) = tokio::join!(talking, listener.hear_all());
    (outcome.sent, outcome.received) = (talker.sent, listener.received);
    outcome.difference = listener.compare.difference.take();
    outcome.error = listened.and(talked).err();
}

/// Says the client's side.
struct Talker {
    mouth: Mouth,
    file: Arc<File>,
    patience: Duration,
    clock: Clock,
    heard: watch::Receiver<Heard>,
    /// An answer did not come: it is no use to wait for further ones.
    hurries: bool,
    sent: u64,
}

impl Talker {
    async fn say_all(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.wait(step).await;
            let limit = self.patience.max(STALLED);
            match timeout(limit, self.act(step)).await {
                Err(_) => return Err(Error::new(Kind::Timeout, format!("the other end took nothing for {limit:?}"))),
                // Then it may have been lost just so.
                Ok(Err(_)) if step.alone => return Ok(()),
                Ok(acted) => acted?,
            }
            if step.what == Say::Leave {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn act(&mut self, step: &Step) -> Result<()> {
        let Say::Pieces(said) = &step.what else { return self.mouth.end().await };
        let mut bytes = Vec::new();
        for piece in &said.pieces {
            bytes.extend(piece.of(&self.file)?);
        }
        let length = bytes.len() as u64;
        self.mouth.say(bytes, said.text).await?;
        self.sent += length;
        Ok(())
    }

    /// Waits for the time of the step, and for the answers that had come before it.
    async fn wait(&mut self, step: &Step) {
        if let Some(due) = self.clock.due(step.at) {
            sleep_until(due).await;
        }
        while !self.hurries && !self.has_heard(step) {
            // Its end is told before it goes.
            self.hurries = !matches!(timeout(self.patience, self.heard.changed()).await, Ok(Ok(())));
        }
    }

    fn has_heard(&mut self, step: &Step) -> bool {
        let heard = *self.heard.borrow_and_update();
        heard.ended || heard.count >= step.heard
    }
}

/// Hears the answers.
struct Listener<'a> {
    ear: Ear,
    compare: Compare,
    conversation: &'a Conversation,
    patience: Duration,
    heard: watch::Sender<Heard>,
    /// Since when all has been said.
    said: watch::Receiver<Option<Instant>>,
    received: u64,
    tell: &'a Tell,
}

impl Listener<'_> {
    async fn hear_all(&mut self) -> Result<()> {
        let (mut last, mut waits) = (Instant::now(), true);
        loop {
            let said = *self.said.borrow_and_update();
            waits &= said.is_none();
            let until = said.map(|said| said.max(last) + self.wanted());
            let silence = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                message = self.ear.hear() => {
                    last = Instant::now();
                    match message {
                        Ok(Some(message)) => self.take(&message)?,
                        Ok(None) => return self.ended("the other end ended before"),
                        Err(error) => return self.broken(error),
                    }
                }
                _ = self.said.changed(), if waits => {}
                () = silence => return self.silent(),
            }
        }
    }

    /// How long it is worth waiting for more.
    fn wanted(&self) -> Duration {
        let complete = self.compare.is_complete() && !self.awaits_end();
        if complete { MORE.min(self.patience) } else { self.patience }
    }

    /// Whether the server ended the conversation then, and can do so now.
    fn awaits_end(&self) -> bool {
        let mut events = self.conversation.events.iter().rev();
        self.ear.ends() && events.any(|event| event.way == Way::Down && event.what == What::End)
    }

    fn take(&mut self, message: &Message) -> Result<()> {
        self.received += message.bytes.len() as u64;
        let taken = self.compare.take(message);
        (self.tell)(News::Answer(self.conversation.number, &message.bytes));
        self.heard.send_modify(|heard| heard.count = self.compare.heard);
        taken
    }

    fn ended(&mut self, why: &str) -> Result<()> {
        self.heard.send_modify(|heard| heard.ended = true);
        self.compare.finish(why)
    }

    /// A conversation that was cut off then may be so now.
    fn broken(&mut self, error: Error) -> Result<()> {
        let then = self.conversation.events.iter().any(|event| event.what == What::Reset);
        self.ended("the conversation was cut off")?;
        if then { Ok(()) } else { Err(error) }
    }

    fn silent(&mut self) -> Result<()> {
        let patience = self.patience;
        self.ended(&format!("nothing came for {patience:?}"))?;
        if self.awaits_end() {
            self.compare.note(&format!("the other end did not end within {patience:?}, as it did then"));
        }
        Ok(())
    }
}
