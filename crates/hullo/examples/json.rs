//! Request and response in JSON: no newline is needed, since values delimit themselves.
//!
//!     cargo run --example json

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hullo::{Answer, service::json::Json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> hullo::Result<()> {
    for address in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0", "http://127.0.0.1:0"] {
        let server = hullo::serve(address, Answer(Json)).await?;
        let address = server.address().to_string();
        println!("{}", hullo::ask(&address, r#"{"name":"Ada","age":36}"#).await?.to_text().trim_end());
    }
    Ok(())
}
