//! `hullo ask udp://127.0.0.1:7030 36.6`: one message out, one reply printed.

use std::{
    io::{IsTerminal, Read, stdin, stdout},
    os::unix::ffi::OsStringExt,
    process::ExitCode,
};

use hullo::{Address, Error, Limits, Message, Result, ask_in};

use crate::{
    args::Ask,
    report::{Voice, shown},
    view::{json, paint},
};

pub(super) async fn run(args: Ask, voice: Voice) -> Result<ExitCode> {
    let address = Address::typed(&args.address)?;
    voice.warn_of_trust(&address);
    let mut limits = Limits::default();
    limits.quiet = args.quiet;
    let message = match args.message {
        Some(message) => Some(Message { bytes: message.into_vec().into(), text: true }),
        None if stdin().is_terminal() => None,
        None => piped()?,
    };
    let answer = ask_in(&address, message, &voice.scope(limits), args.timeout).await?;
    let paint = paint::on_stdout();
    let mut bytes = answer.bytes.to_vec();
    if stdout().is_terminal() {
        let text = answer.to_text();
        bytes = json::pretty(&text, paint).unwrap_or_else(|| shown(&text)).into_bytes();
    }
    // A text is a line; other bytes are left as they are, unless somebody is to read them.
    if !bytes.ends_with(b"\n") && (stdout().is_terminal() || std::str::from_utf8(&bytes).is_ok()) {
        bytes.push(b'\n');
    }
    super::print(&bytes)?;
    Ok(ExitCode::SUCCESS)
}

/// What comes on stdin is the message; nothing is no message.
fn piped() -> Result<Option<Message>> {
    let mut bytes = Vec::new();
    stdin().lock().read_to_end(&mut bytes).map_err(|error| Error::io("cannot read the message from stdin", error))?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    Ok((!bytes.is_empty()).then(|| Message { bytes: bytes.into(), text: true }))
}
