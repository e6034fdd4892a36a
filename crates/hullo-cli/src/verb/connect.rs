//! `hullo connect tls://host:443`: a terminal gets line editing, a pipe gets bytes.

use std::{
    future::{Future, poll_fn},
    io::{IsTerminal, stdin, stdout},
    pin::pin,
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Sink, SinkExt, StreamExt};
use hullo::{
    Address, BoxStream, Error, Kind, Limits, Message, Packets, Result, Service, Wire, dial,
    pipe::Pipe,
    service::{self, Needs, Settings},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, join},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    STDOUT,
    stdio::{Stdin, Stdout},
    terminal,
};
use crate::{args::Connect, report::Voice};

/// A piece of a pipe that becomes one datagram.
const DATAGRAM: usize = 16 << 10;

pub(super) async fn run(args: Connect, voice: Voice) -> Result<ExitCode> {
    let address = Address::typed(&args.address)?;
    let service = args.serve.as_deref().map(|name| service(name, &args)).transpose()?;
    let link = dial(&address, &voice.scope(Limits::default())).await?;
    voice.warn_of_trust(&address);
    let interactive = stdin().is_terminal() && stdout().is_terminal();
    let talk = async {
        if let Some(service) = service {
            return service.serve(link).await;
        }
        match link.wire {
            _ if interactive || args.hex => terminal::talk(link, &args, interactive, voice).await,
            Wire::Stream(stream) => stream_bytes(stream, &args, &address).await,
            Wire::Packets(packets) => pass_packets(packets, &args).await,
        }
    };
    tokio::select! {
        talked = talk => talked.map(|()| ExitCode::SUCCESS),
        // As a shell says it: 128 and the signal's number.
        _ = tokio::signal::ctrl_c(), if !interactive => Ok(ExitCode::from(130)),
    }
}

/// The service that talks instead of us.
fn service(name: &str, args: &Connect) -> Result<Arc<dyn Service>> {
    let spec = service::find(name)?;
    if spec.needs == Needs::Http {
        return Err(Error::usage(format!("{name} answers HTTP requests, and is no end of a conversation")));
    }
    let (command, path) = (args.command.clone(), std::env::var_os("PATH"));
    let settings = Settings { command, path, ..Settings::default() };
    settings.suit(spec)?;
    (spec.make)(&settings)
}

/// Copies stdin to the stream and the stream to stdout, each to its own end.
///
/// Once the other end has ended its side it mostly is gone, which only another write could tell: so stdin then has
/// `linger` to bring more, and a server that closes does not leave us waiting for input that nobody will give.
async fn stream_bytes(mut stream: BoxStream, args: &Connect, address: &Address) -> Result<()> {
    let mut stdio = join(Stdin::new(args.crlf), Stdout::new(args.raw));
    let (mut pipe, mut moved) = (Pipe::default(), None);
    let mut patience = pin!(sleep_until(Instant::now()));
    let piped = poll_fn(|cx| {
        if let Poll::Ready(done) = pipe.poll(cx, &mut stdio, &mut stream) {
            return Poll::Ready(done);
        }
        if !pipe.back_done() {
            return Poll::Pending;
        }
        // Where nobody reads stdout any more there is nothing to go on for.
        if let Some(error) = pipe.failure() {
            return Poll::Ready(Err(error));
        }
        if moved != Some(pipe.there()) {
            moved = Some(pipe.there());
            patience.as_mut().reset(Instant::now() + args.linger);
        }
        patience.as_mut().poll(cx).map(Ok)
    });
    piped.await.map_err(|error| Error::io(format!("the conversation with {} was cut off", address.bare()), error))
}

/// The same over packets: a piece of stdin, or with `--lines` a line, becomes one, and each that comes is written out.
async fn pass_packets(packets: Box<dyn Packets>, args: &Connect) -> Result<()> {
    let (ends, piece) = (packets.ends(), packets.largest().min(DATAGRAM));
    let (mut sink, mut source) = packets.split();
    let (mut stdin, mut stdout) = (BufReader::with_capacity(piece, Stdin::new(args.crlf)), Stdout::new(args.raw));
    let mut next = Vec::new();
    let (mut input, mut waiting, mut unsent) = (true, None, false);
    let far = || Instant::now() + Duration::from_secs(1 << 30);
    let mut due = far();
    loop {
        tokio::select! {
            read = read_piece(&mut stdin, &mut next, args.lines), if input && waiting.is_none() => {
                match read.map_err(|error| Error::io("cannot read stdin", error))? {
                    0 if ends => (input, unsent) = (false, true),
                    0 => (input, due) = (false, Instant::now() + args.linger),
                    _ => (waiting, unsent) = (Some(message(std::mem::take(&mut next), args.lines)), true),
                }
            }
            // Never waited for alone: the other end may have to be read before it takes more.
            sent = poll_fn(|cx| poll_send(&mut sink, &mut waiting, !input && ends, cx)), if unsent => {
                sent?;
                unsent = false;
            }
            message = timeout_at(due, source.next()) => match message {
                Ok(Some(message)) => {
                    let written = async {
                        let bytes = message?.bytes;
                        stdout.write_all(&bytes).await?;
                        // Some end their lines themselves, in datagrams too.
                        let is_whole = !args.lines || bytes.ends_with(b"\n");
                        stdout.write_all(if is_whole { b"" } else { b"\n" }).await?;
                        stdout.flush().await
                    };
                    written.await.map_err(|error| Error::io(STDOUT, error))?;
                    if !input && !ends {
                        due = Instant::now() + args.linger;
                    }
                }
                Ok(None) => {
                    // All that it had to say is here; whether it still hears our farewell is of no interest.
                    let _ = sink.close().await;
                    return Ok(());
                }
                // It has fallen quiet, and there is no end to wait for: our farewell is the last word.
                Err(_) => return sink.close().await,
            },
        }
    }
}

/// Hands over what waits, and at the `end` our farewell; ready when it has left.
fn poll_send<S>(sink: &mut S, waiting: &mut Option<Message>, end: bool, cx: &mut Context<'_>) -> Poll<Result<()>>
where
    S: Sink<Message, Error = Error> + Unpin,
{
    if waiting.is_some() {
        ready!(sink.poll_ready_unpin(cx))?;
        if let Some(message) = waiting.take() {
            sink.start_send_unpin(message)?;
        }
    }
    if end { sink.poll_close_unpin(cx) } else { sink.poll_flush_unpin(cx) }
}

/// The next piece or line of the input; 0 is the end. Cancel-safe: what has been read is in `next`, and stays there.
async fn read_piece(stdin: &mut BufReader<Stdin>, next: &mut Vec<u8>, lines: bool) -> std::io::Result<usize> {
    if lines {
        let limit = Limits::default().max;
        let n = (&mut *stdin).take((limit - next.len().min(limit)) as u64).read_until(b'\n', next).await?;
        return if n == 0 && next.len() >= limit {
            Err(Error::new(Kind::TooLarge, "a line is too long for a message").into())
        } else {
            Ok(next.len())
        };
    }
    let n = stdin.fill_buf().await?.len();
    next.extend_from_slice(stdin.buffer());
    stdin.consume(n);
    Ok(n)
}

/// A message of a line, without its end; or of a piece of bytes, which is meant as text where it is lines of it.
fn message(mut bytes: Vec<u8>, line: bool) -> Message {
    let text = line || bytes.ends_with(b"\n") && std::str::from_utf8(&bytes).is_ok();
    if line && bytes.ends_with(b"\n") {
        bytes.truncate(bytes.len() - if bytes.ends_with(b"\r\n") { 2 } else { 1 });
    }
    Message { bytes: bytes.into(), text }
}
