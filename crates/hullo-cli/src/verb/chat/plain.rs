//! The connection to a server that knows lines alone: another `hullo`, `nc`, or a program of a tutorial that sends no
//! line breaks.

use std::time::Duration;

use hullo::{Address, Link, Message, Result, chat::text, framing};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::view::chat::News;

/// Where only one end can end, what still comes within this time belongs to what was said.
const LINGER: Duration = Duration::from_secs(1);

/// Where nothing but what is said tells that we are still here, this is said so often: nothing.
const SIGN: Duration = Duration::from_secs(60);

/// The two ends of what goes on between a connection and who uses it.
pub(super) struct Ends {
    pub(super) lines: mpsc::Receiver<String>,
    pub(super) news: mpsc::Sender<News>,
}

/// Talks until the other end has ended. The end of our lines is a half-close, where there is such a thing.
///
/// # Errors
/// The conversation was cut off.
pub(super) async fn talk(link: Link, address: &Address, greeting: Vec<String>, ends: &mut Ends) -> Result<()> {
    // A line that ends without a line break is whole when it pauses: programs of tutorials send none.
    let mut session = link.session(&framing::text::SPEC);
    let endless = session.endless();
    if ends.news.send(News::Here).await.is_err() {
        return session.close().await;
    }
    // A server of datagrams hears of us only by a datagram.
    if endless && greeting.is_empty() {
        session.send(Message::text("")).await?;
    }
    for line in greeting {
        session.send(Message::text(line)).await?;
    }
    let (mut open, mut due) = (true, Instant::now() + SIGN);
    loop {
        tokio::select! {
            heard = session.recv() => {
                let Some(message) = heard? else { break };
                for line in text::clean(&message.to_text(), true).lines() {
                    // Nobody listens any more only when we leave.
                    let _ = ends.news.send(News::Line(line.to_owned())).await;
                }
                if !open {
                    due = Instant::now() + LINGER;
                }
            }
            line = ends.lines.recv(), if open => match line {
                Some(line) => {
                    session.send(Message::text(line)).await?;
                    due = Instant::now() + SIGN;
                }
                None => {
                    open = false;
                    due = Instant::now() + LINGER;
                    if endless { session.flush().await? } else { session.finish().await? }
                }
            },
            () = sleep_until(due), if endless => {
                if !open {
                    return session.close().await;
                }
                session.send(Message::text("")).await?;
                due = Instant::now() + SIGN;
            }
        }
    }
    let why = format!("{} has ended the conversation", address.bare());
    let _ = ends.news.send(News::Ended { why }).await;
    session.close().await
}
