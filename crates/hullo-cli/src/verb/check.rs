//! `hullo check --wait 30s localhost:5432`: is it up, and how long does each step take?
//!
//! `hullo check https://host`: and what is wrong with its certificates?

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use http::{Response, StatusCode};
use hullo::{
    Address, Certificate, Error, Event, Kind, Limits, Message, Result, Scope, Watch,
    exchange::{Body, collect},
    framing,
    request::Call,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    args::Check,
    report::{START, Voice, failure, object, shown},
    view::{certificate, paint, timeline},
};

/// How long to wait before the first new attempt; each time twice as long, up to a second.
const AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn run(args: Check, voice: Voice) -> Result<ExitCode> {
    let mut address = Address::resource(&args.address)?;
    if !args.address.contains("://") {
        // Only a URL with its scheme is HTTP here.
        address = args.address.parse()?;
    }
    voice.warn_of_trust(&address);
    let outcome = until_up(&args, &address, voice).await;
    // Who reads the steps from stdout finds the verdict there too.
    if let Err(error) = &outcome
        && voice.json
        && error.kind() != Kind::Usage
    {
        let mut facts = failure(error);
        facts["address"] = json!(address.bare().to_string());
        say(voice, "down", "", facts)?;
    }
    outcome
}

async fn until_up(args: &Check, address: &Address, voice: Voice) -> Result<ExitCode> {
    let mut limits = Limits::default();
    limits.timeout = args.timeout;
    let since = Instant::now();
    let mut pause = AGAIN;
    let mut attempts = 1;
    loop {
        if let Some(wait) = args.wait {
            limits.timeout = args.timeout.min(wait.saturating_sub(since.elapsed()).max(AGAIN));
        }
        // The steps of the first attempt are shown as they come; of later ones only those that led to an answer.
        let later = (attempts > 1 && !voice.verbose).then(Vec::new);
        let steps = Arc::new(Steps { voice, later: Mutex::new(later), ends_first: Mutex::default() });
        let scope = Scope::new(limits.clone(), Some(steps.clone())).on_nobodys_behalf();
        voice.equip(&scope);
        match attempt(address, &scope).await {
            Ok(how) => {
                steps.show_later();
                if let Some(time) = args.expiring {
                    steps.expiring(address, time)?;
                }
                let took = since.elapsed();
                let sentence = format!("{} {} is up: {how}", paint::on_stdout().good("ok"), address.bare());
                say(
                    voice,
                    "up",
                    &sentence,
                    json!({ "address": address.bare().to_string(), "how": how, "ms": took.as_secs_f64() * 1e3, "attempts": attempts }),
                )?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => {
                let left = args.wait.and_then(|wait| wait.checked_sub(since.elapsed())).filter(|left| !left.is_zero());
                let Some(left) = left.filter(|_| error.kind() != Kind::Usage) else {
                    return Err(given_up(error, attempts));
                };
                // The first failure is said; the same one again and again is not.
                if attempts == 1 {
                    voice.say("waiting", &shown(&format!("not yet: {error}")), json!({ "message": error.to_string() }));
                }
                sleep(pause.min(left)).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                attempts += 1;
            }
        }
    }
}

fn given_up(error: Error, attempts: u32) -> Error {
    if attempts == 1 {
        return error;
    }
    Error::new(error.kind(), format!("still not up after {attempts} attempts")).because(error)
}

/// One attempt: what counts as an answer depends on what is asked.
async fn attempt(to: &Address, scope: &Scope) -> Result<String> {
    match to.scheme.as_str() {
        "http" | "https" => {
            let call = Call::new(http::Method::GET, to.clone()).send(scope, 0);
            let late = || {
                Error::new(Kind::Timeout, format!("no answer from {} within {:?}", to.bare(), scope.limits().timeout))
            };
            let (response, _) = timeout(scope.limits().timeout, call).await.map_err(|_| late())??;
            let status = response.status();
            if status.is_server_error() {
                return Err(Error::new(Kind::Protocol, format!("{} answers, but with {status}", to.bare())));
            }
            if status == StatusCode::BAD_REQUEST && to.scheme == "http" && wants_tls(response, scope).await {
                return Ok(format!("it answers {status}, since it speaks HTTPS: try https://"));
            }
            Ok(format!("it answers {status}"))
        }
        "udp" | "unix-dgram" => {
            let answer = hullo::ask_in(to, Some(Message::text("")), scope, None).await?;
            Ok(format!("it answers an empty datagram with {} bytes", answer.bytes.len()))
        }
        _ => {
            let mut session = hullo::dial(to, scope).await?.session(&framing::raw::SPEC);
            // Some talk first; to know it is worth the moment.
            match timeout(scope.limits().quiet, session.recv()).await {
                Ok(Ok(Some(first))) => Ok(format!("it says {} bytes by itself", first.bytes.len())),
                Ok(Ok(None)) => Ok("it takes connections, and closes them".to_owned()),
                Ok(Err(error)) => Err(error),
                Err(_) => Ok("it takes connections, and waits for us to talk".to_owned()),
            }
        }
    }
}

/// Whether the page says that this is a port for HTTPS, as servers do who hear plain HTTP there.
async fn wants_tls(response: Response<Body>, scope: &Scope) -> bool {
    // The words of nginx, of Go, of Apache and of our own.
    const WORDS: &[&str] = &["sent to HTTPS port", "to an HTTPS server", "SSL-enabled server port", "this is https://"];
    let page = timeout(scope.limits().timeout, collect(response.into_body(), 4 << 10)).await;
    let page = page.ok().and_then(Result::ok).unwrap_or_default();
    WORDS.iter().any(|words| String::from_utf8_lossy(&page).contains(words))
}

/// The steps of an attempt, shown at once or kept for later.
struct Steps {
    voice: Voice,
    later: Mutex<Option<Vec<Step>>>,
    /// The certificate that expires first.
    ends_first: Mutex<Option<Certificate>>,
}

type Step = (&'static str, String, Value);

impl Steps {
    /// Fails when a certificate expires within that time.
    fn expiring(&self, address: &Address, time: Duration) -> Result<()> {
        let first = self.ends_first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(first) = first else {
            let about = format!("{} shows no certificate that could expire", address.bare());
            return Err(Error::usage(about).hint("--expiring is for tls, https and wss"));
        };
        if first.until > SystemTime::now() + time {
            return Ok(());
        }
        let (left, date) = (certificate::days_left(first.until), certificate::date(first.until));
        let about =
            format!("a certificate of {}, '{}', has {left} days left, until {date}", address.bare(), first.subject);
        Err(Error::new(Kind::Tls, about))
    }

    fn show_later(&self) {
        let later = self.later.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (name, sentence, facts) in later.into_iter().flatten() {
            // What cannot be printed here fails again, and is reported, at the last line.
            let _ = say(self.voice, name, &sentence, facts);
        }
    }
}

impl Watch for Steps {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Closed { .. }) && !self.voice.verbose {
            return;
        }
        if let Event::Shown(shown) = event {
            let first = shown.chain.iter().min_by_key(|certificate| certificate.until).cloned();
            *self.ends_first.lock().unwrap_or_else(PoisonError::into_inner) = first;
        }
        let (name, sentence, facts) = timeline::line(event);
        let sentence = format!("{}  {sentence}", paint::on_stdout().quiet(&timeline::clock(START.elapsed())));
        match &mut *self.later.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(later) => later.push((name, sentence, facts)),
            None => drop(say(self.voice, name, &sentence, facts)),
        }
    }
}

/// The steps are what this verb is for: they go to stdout.
fn say(voice: Voice, event: &str, sentence: &str, facts: Value) -> Result<()> {
    if !voice.json {
        return super::print(format!("{sentence}\n").as_bytes());
    }
    super::print(format!("{}\n", object(event, facts)).as_bytes())
}
