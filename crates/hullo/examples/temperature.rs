//! The UDP server that turns Celsius into Fahrenheit, as a service of one's own.
//!
//!     cargo run --example temperature

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::{Answer, Error, Message, Peer, Reply, Result};

struct Fahrenheit;

impl Reply for Fahrenheit {
    async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
        let text = message.to_text();
        let celsius: f64 = text
            .trim()
            .parse()
            .map_err(|error| Error::usage("this is no number").because(error as std::num::ParseFloatError))?;
        Ok(Some(Message::text(format!("{:.1}", celsius * 1.8 + 32.0))))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = hullo::serve("udp://127.0.0.1:0", Answer(Fahrenheit)).await?;
    for celsius in ["36.6", "-40", "warm"] {
        println!("{celsius} C is {} F", hullo::ask(&server.address().to_string(), celsius).await?.to_text());
    }
    Ok(())
}
