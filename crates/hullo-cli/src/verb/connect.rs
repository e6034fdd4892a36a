//! `hullo connect tls://host:443`: a terminal gets line editing, a pipe gets bytes.

use std::{
    future::{Future, poll_fn},
    io::{IsTerminal, stdin, stdout},
    pin::pin,
    process::ExitCode,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hullo::{Address, BoxStream, Error, Limits, Message, Packets, Result, Wire, dial, pipe::Pipe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, join},
    time::{Instant, sleep_until, timeout_at},
};

use super::terminal;
use crate::{args::Connect, report::Voice};

/// A piece of a pipe that becomes one datagram.
const DATAGRAM: usize = 16 << 10;

pub(super) async fn run(args: Connect, voice: Voice) -> Result<ExitCode> {
    let address: Address = args.address.parse()?;
    let link = dial(&address, &voice.scope(Limits::default())).await?;
    if address.options.flag("insecure", false) {
        voice.say("insecure", "warning: nobody has verified who this is; use pin or ca", serde_json::json!({}));
    }
    let interactive = stdin().is_terminal() && stdout().is_terminal();
    let talk = async {
        match link.wire {
            _ if interactive || args.hex => terminal::talk(link, &args, interactive, voice).await,
            Wire::Stream(stream) => stream_bytes(stream, args.linger, &address).await,
            Wire::Packets(packets) => pass_packets(packets, args.linger).await,
        }
    };
    tokio::select! {
        talked = talk => talked.map(|()| ExitCode::SUCCESS),
        // As a shell says it: 128 and the signal's number.
        _ = tokio::signal::ctrl_c(), if !interactive => Ok(ExitCode::from(130)),
    }
}

/// Copies stdin to the stream and the stream to stdout, each to its own end.
///
/// Once the other end has ended its side it mostly is gone, which only another write could tell: so stdin then has
/// `linger` to bring more, and a server that closes does not leave us waiting for input that nobody will give.
async fn stream_bytes(mut stream: BoxStream, linger: Duration, address: &Address) -> Result<()> {
    let mut stdio = join(tokio::io::stdin(), tokio::io::stdout());
    let (mut pipe, mut moved) = (Pipe::default(), None);
    let mut patience = pin!(sleep_until(Instant::now()));
    let piped = poll_fn(|cx| {
        if let Poll::Ready(done) = pipe.poll(cx, &mut stdio, &mut stream) {
            return Poll::Ready(done);
        }
        if !pipe.back_done() {
            return Poll::Pending;
        }
        if moved != Some(pipe.there()) {
            moved = Some(pipe.there());
            patience.as_mut().reset(Instant::now() + linger);
        }
        patience.as_mut().poll(cx).map(Ok)
    });
    piped.await.map_err(|error| Error::io(format!("the conversation with {} was cut off", address.bare()), error))
}

/// The same over packets: a piece of stdin becomes one, and each that comes is written out as it is.
async fn pass_packets(packets: Box<dyn Packets>, linger: Duration) -> Result<()> {
    let (ends, piece) = (packets.ends(), packets.largest().min(DATAGRAM));
    let (mut sink, mut source) = packets.split();
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let mut buf = vec![0; piece];
    let mut input = true;
    let far = || Instant::now() + Duration::from_secs(1 << 30);
    let mut due = far();
    loop {
        tokio::select! {
            read = stdin.read(&mut buf), if input => {
                match read.map_err(|error| Error::io("cannot read stdin", error))? {
                    0 if ends => {
                        input = false;
                        sink.close().await?;
                    }
                    0 => (input, due) = (false, Instant::now() + linger),
                    n => sink.send(Message { bytes: Bytes::copy_from_slice(&buf[..n]), text: true }).await?,
                }
            }
            message = timeout_at(due, source.next()) => match message {
                Ok(Some(message)) => {
                    let written = async {
                        stdout.write_all(&message?.bytes).await?;
                        stdout.flush().await
                    };
                    written.await.map_err(|error| Error::io("cannot write to stdout", error))?;
                    if !input && !ends {
                        due = Instant::now() + linger;
                    }
                }
                // It has ended, or fallen quiet where there is no end: our farewell is the last word.
                Ok(None) | Err(_) => return sink.close().await,
            },
        }
    }
}
