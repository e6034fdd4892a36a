//! An echo server that serves as many clients as come, and a client that half-closes and reads to the end.
//!
//!     cargo run --example echo

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::service::echo::Echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> hullo::Result<()> {
    let server = hullo::serve("tcp://127.0.0.1:0", Echo).await?;

    let mut stream = hullo::connect(&server.address().to_string()).await?.stream();
    let mut back = String::new();
    let talk = async {
        stream.write_all(b"Hello, server\n").await?;
        stream.shutdown().await?;
        stream.read_to_string(&mut back).await
    };
    talk.await.map_err(|error| hullo::Error::io("the echo was cut off", error))?;
    print!("{back}");
    Ok(())
}
