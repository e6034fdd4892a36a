//! The first server of every tutorial: it greets whoever connects, and closes. Here with both its ends.
//!
//!     cargo run --example greeting

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::{framing, service::greet::Greet};

#[tokio::main(flavor = "current_thread")]
async fn main() -> hullo::Result<()> {
    let server = hullo::serve("tcp://127.0.0.1:0", Greet::new("Thank you for connecting")).await?;

    let link = hullo::connect(&server.address().to_string()).await?;
    let mut session = link.session(&framing::lines::SPEC);
    while let Some(line) = session.recv().await? {
        println!("{}", line.to_text());
    }
    Ok(())
}
