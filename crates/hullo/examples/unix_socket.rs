//! Two processes on one machine talk over a unix socket; here both are in one, and the socket has no file.
//!
//!     cargo run --example unix_socket

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::{Answer, Message, Peer, Reply, Result};

struct Shout;

impl Reply for Shout {
    async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
        Ok(Some(Message::text(message.to_text().to_uppercase())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = format!("unix:@hullo-example-{}", std::process::id());
    let _server = hullo::serve(&address, Answer(Shout)).await?;
    println!("{}", hullo::ask(&address, "is anybody there?").await?.to_text());
    Ok(())
}
