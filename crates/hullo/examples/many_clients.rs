//! Where tutorials start a thread for each client: a hundred clients at once on one thread, each with its own state.
//!
//!     cargo run --example many_clients

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use hullo::{BoxFuture, Link, Message, Result, Service, framing};

struct Count;

impl Service for Count {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut session = link.session(&framing::lines::SPEC);
            let mut sum = 0;
            while let Some(line) = session.recv().await? {
                sum += line.to_text().parse().unwrap_or(0);
                session.send(Message::text(sum.to_string())).await?;
            }
            session.close().await
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = hullo::serve("tcp://127.0.0.1:0", Count).await?;
    let mut clients = Vec::new();
    for number in 0..100 {
        let mut session = hullo::connect(&server.address().to_string()).await?.session(&framing::lines::SPEC);
        session.send(Message::text(number.to_string())).await?;
        session.flush().await?;
        clients.push(session);
    }
    let mut total = 0;
    for mut session in clients {
        total += session.recv().await?.map_or(0, |line| line.to_text().parse().unwrap_or(0));
    }
    println!("100 clients, {total} in all");
    Ok(())
}
