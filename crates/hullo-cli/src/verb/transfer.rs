//! `hullo send photos` and `hullo receive`: files and folders, resumed and verified.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use hullo::{
    Address, Error, Kind, Limits, Result, Scope, Server,
    options::End,
    transfer::{self, Code, Existing, Flow, Host, Lock, Source, Summary, Target, Work},
    transport,
};
use serde_json::json;

use super::{
    prompt,
    serve::{self, Signals},
};
use crate::{
    args::{Meeting, Receive, Send, Times},
    report::Voice,
    view::progress::Progress,
};

/// Where an end listens when nothing else is said.
const PORT: u16 = 7400;

/// The variable with the code.
const CODE: &str = "HULLO_CODE";

/// The exit status after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long what was said last may take to arrive.
const FAREWELL: Duration = Duration::from_secs(7);

/// How long the other end is looked for.
const SEEKING: Duration = Duration::from_secs(30);

/// How long the other end may be away after a break.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn send(args: Send, voice: Voice) -> Result<ExitCode> {
    let (paths, address) = split(args.paths, &args.meeting)?;
    let stdin = paths.iter().filter(|path| path.as_bytes() == b"-").count();
    if stdin > 1 || stdin == 1 && args.meeting.times.is_some_and(|times| times.0 != Some(1)) {
        return Err(Error::usage("stdin can be sent only once: it cannot be read again"));
    }
    let source = |path: OsString| match path.as_bytes() {
        b"-" => Source::Flow(Flow::new(args.name.clone(), std::io::stdin())),
        _ => Source::Path(PathBuf::from(path)),
    };
    let work = Work::Send(paths.into_iter().map(source).collect());
    work.check()?;
    match address {
        Some(address) => call(&address, work, &args.meeting, voice).await,
        None => wait(work, &args.meeting, voice).await,
    }
}

pub(super) async fn receive(args: Receive, voice: Voice) -> Result<ExitCode> {
    let existing = match (args.overwrite, args.keep_both, args.skip) {
        (true, ..) => Existing::Replace,
        (_, true, _) => Existing::KeepBoth,
        (.., true) => Existing::Skip,
        _ => Existing::Refuse,
    };
    let (durable, outside_links) = (!args.no_fsync, args.outside_links);
    let work = Work::Receive(Target { into: args.into, existing, durable, outside_links });
    match (&args.address, &args.meeting.listen) {
        (Some(_), Some(_)) => Err(Error::usage("it can listen or connect, and not both")),
        (Some(address), None) => call(&there(address)?, work, &args.meeting, voice).await,
        (None, Some(_)) => {
            work.check()?;
            wait(work, &args.meeting, voice).await
        }
        (None, None) => seek(work, &args.meeting, voice).await,
    }
}

/// The paths, and the address where the last word is one.
fn split(mut words: Vec<OsString>, meeting: &Meeting) -> Result<(Vec<OsString>, Option<Address>)> {
    if meeting.listen.is_some() || words.len() < 2 {
        return Ok((words, None));
    }
    let looks = |word: &OsString| {
        let text = word.to_str()?;
        let scheme = transport::schemes().any(|spec| text.starts_with(&format!("{}:", spec.scheme)));
        // A file of that name is what is meant.
        let host = text.contains(':') && !Path::new(text).exists() && text.parse::<Address>().is_ok();
        (text.contains("://") || scheme || host).then(|| text.to_owned())
    };
    let Some(text) = words.last().and_then(looks) else { return Ok((words, None)) };
    words.pop();
    Ok((words, Some(there(&text)?)))
}

/// The address of the other end; its port need not be said.
fn there(text: &str) -> Result<Address> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let mut address: Address =
        if plain && text.parse::<u16>().is_err() { Address::new("tcp", text, PORT) } else { text.parse()? };
    if matches!(address.scheme.as_str(), "http" | "https") {
        return Err(Error::usage(format!("cannot send or receive over {}: it is for requests", address.scheme)).hint(
            "use ws:// or wss://, tcp:// or tls://; to a hullo serve files --upload, curl -T or hullo request PUT",
        ));
    }
    if address.port.is_none() && !address.host.is_empty() {
        address.port = Some(PORT);
    }
    Ok(address)
}

/// Connects to the other end, and does the work.
async fn call(to: &Address, work: Work, meeting: &Meeting, voice: Voice) -> Result<ExitCode> {
    if meeting.times.is_some() {
        return Err(Error::usage("--times is for the end that listens"));
    }
    transport::find(to, End::Connect)?;
    voice.warn_of_trust(to);
    let lock = if meeting.plain { Lock::Plain } else { Lock::Code(known_code()?) };
    meet(to, work, lock, meeting, voice).await
}

async fn meet(to: &Address, work: Work, lock: Lock, meeting: &Meeting, voice: Voice) -> Result<ExitCode> {
    serve::raise_file_limit();
    let progress = Progress::new(&work, voice);
    let scope = voice.scope(Limits::default());
    let patience = (meeting.wait.unwrap_or_default(), meeting.wait.unwrap_or(PATIENCE));
    let done = transfer::connect(to, &work, &lock, &scope, patience, progress.tell()).await;
    // Over datagrams the last words may have to be said twice.
    scope.end(FAREWELL).await;
    progress.end();
    finish(&work, done?, &progress)
}

/// Finds who sends in this network, and does the work.
async fn seek(work: Work, meeting: &Meeting, voice: Voice) -> Result<ExitCode> {
    if meeting.plain {
        return Err(Error::usage("without a code nobody is looked for").hint("give the address, as in host:7400"));
    }
    let code = known_code()?;
    voice.say("seeking", "looking for who sends in this network", json!({}));
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let to = transfer::find(code.number(), anywhere, meeting.wait.unwrap_or(SEEKING)).await?;
    voice.say("found", &format!("found {to}"), json!({ "address": to.to_string() }));
    meet(&to, work, Lock::Code(code), meeting, voice).await
}

/// The code that the other end shows.
fn known_code() -> Result<Code> {
    let typed = match std::env::var(CODE) {
        Ok(code) => code,
        Err(_) => prompt::line("the code that the other end shows: ").map_err(|error| {
            Error::usage("there is no code, and nobody to ask for it").because(error).hint(format!(
                "the other end shows it; it comes from the variable {CODE}, or use --plain on a trusted wire"
            ))
        })?,
    };
    Code::read(&typed)
}

/// Listens for the other end, and does the work.
async fn wait(work: Work, meeting: &Meeting, voice: Voice) -> Result<ExitCode> {
    let lock = match (meeting.plain, std::env::var(CODE)) {
        (true, _) => Lock::Plain,
        (false, Ok(code)) => Lock::Code(Code::read(&code)?),
        (false, Err(_)) => Lock::Code(Code::random()?),
    };
    serve::raise_file_limit();
    let mut signals = Signals::new()?;
    let progress = Progress::new(&work, voice);
    let scope = Scope::on_cores(Limits::server(), voice.watch(), serve::cores()?, None);
    voice.equip(&scope);
    let mut server = Server::new(scope);
    let times = meeting.times.map_or(Some(1), |Times(times)| times);
    let host = Host::new(work.clone(), lock.clone(), times, progress.tell());
    let at = listen(&mut server, &work, meeting, host.clone(), voice).await?;
    let announced = match &lock {
        Lock::Code(code) if matches!(work, Work::Send(_)) && !is_here_alone(&at) => announce(&at, code, voice),
        _ => None,
    };
    progress.invite(&at, &lock, announced.is_some());
    let ended = tokio::select! {
        ended = host.ended() => Some(ended),
        () = signals.any() => None,
    };
    tokio::select! {
        _ = server.end(FAREWELL) => {}
        // Who asks again does not want to wait.
        () = signals.any() => {}
    }
    progress.end();
    match ended {
        Some(ended) => finish(&work, ended?, &progress),
        None => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Whether no other machine can come.
fn is_here_alone(at: &Address) -> bool {
    at.host == "localhost" || at.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Lets others in this network find us. Where that cannot be they need the address.
fn announce(at: &Address, code: &Code, voice: Voice) -> Option<transfer::Announced> {
    transfer::announce(at, code.number()).unwrap_or_else(|error| {
        voice.complain(&error);
        None
    })
}

/// Listens where the words say, or on the easy port, or on a free one.
async fn listen(server: &mut Server, work: &Work, meeting: &Meeting, host: Arc<Host>, voice: Voice) -> Result<Address> {
    let name = if matches!(work, Work::Send(_)) { "send" } else { "receive" };
    let wanted = meeting.listen.as_deref().unwrap_or_default();
    if !wanted.is_empty() {
        let address: Address = wanted.parse()?;
        let mut address = if address.scheme.starts_with("http") { there(wanted)? } else { address };
        if address.scheme == "memory" {
            return Err(Error::usage(format!("cannot listen on {address}: nobody else is in this process")));
        }
        if address.port.is_none() && !address.host.is_empty() {
            address.port = Some(PORT);
        }
        let (mut at, notes) = serve::open(server, &address.to_string(), name, host, voice).await?;
        // A certificate of our own is trusted by its pin, which the listener has said.
        if let Some(pin) = notes.iter().find_map(|note| note.split_once("?pin=")) {
            at.options.set("pin", pin.1)?;
        }
        return Ok(at);
    }
    // Who comes must know the code. Without one only this machine is trusted.
    let at = if meeting.plain { "127.0.0.1" } else { "0.0.0.0" };
    match serve::listen(server, &format!("tcp://{at}:{PORT}"), name, host.clone(), voice).await {
        Err(error) if error.kind() == Kind::Bind => {
            serve::listen(server, &format!("tcp://{at}:0"), name, host, voice).await
        }
        other => other,
    }
}

/// Says what was done; the exit status says whether all of it was.
fn finish(work: &Work, summary: Summary, progress: &Progress) -> Result<ExitCode> {
    progress.sum(&summary);
    if summary.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let verb = if matches!(work, Work::Send(_)) { "sent" } else { "received" };
    let all = summary.failed + summary.done + summary.here + summary.skipped;
    Err(Error::new(Kind::File, format!("{} of {all} files were not {verb}", summary.failed)))
}
