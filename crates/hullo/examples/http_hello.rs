//! An HTTP hello server, and the raw client that the tutorials write over a socket.
//!
//!     cargo run --example http_hello

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::service::greet::Greet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> hullo::Result<()> {
    let server = hullo::serve("http://127.0.0.1:0", Greet::new("Hello, World!")).await?;

    // The same port, spoken to as what it is underneath: a stream of bytes.
    let raw = server.address().to_string().replace("http://", "tcp://");
    let mut stream = hullo::connect(&raw).await?.stream();
    let mut response = String::new();
    let talk = async {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        stream.read_to_string(&mut response).await
    };
    talk.await.map_err(|error| hullo::Error::io("the response was cut off", error))?;
    println!("{response}");
    Ok(())
}
