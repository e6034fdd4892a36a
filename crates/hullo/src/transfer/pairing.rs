//! How the two ends come to know each other: a greeting, and with a code SPAKE2 (RFC 9382, in the form of its crate).
//!
//! Who connects speaks first. Both greetings are bound into the keys, so neither can be changed on the way. The end that
//! connects proves first that it knows the code: whoever guesses learns only whether that one guess was right, and a
//! wrong one ends the code.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest,
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};
use serde::{Deserialize, Serialize};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::words::malformed;
use crate::{
    error::{Error, Kind, Result},
    link::BoxStream,
};

/// What every greeting begins with; the last digit is the version.
const MAGIC: [u8; 8] = *b"hullo-f1";

/// The longest greeting.
const LONGEST: u32 = 1024;

/// Which way the files go, as the end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// It sends.
    Sends,
    /// It receives.
    Receives,
}

/// What an end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Proof {
    /// Nothing: the wire is trusted.
    Plain,
    /// That it knows the code.
    Code,
    /// That it is who was here before, in the session of that number.
    Again,
}

/// The first words of either end.
#[derive(Serialize, Deserialize)]
struct Greeting {
    magic: [u8; 8],
    way: Way,
    proof: Proof,
    /// The number of the session, which the end that connects has chosen.
    session: Session,
    /// SPAKE2's element; empty where nothing is proven.
    element: Vec<u8>,
}

/// What the listening end answers.
#[derive(Serialize, Deserialize)]
enum Welcome {
    Greeting(Greeting),
    Refusal(Refusal),
}

/// Why the listening end will not talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// Both ends send, or both receive.
    SameWay,
    /// It wants a code.
    WantsCode,
    /// It has none: it trusts the wire.
    HasNoCode,
    /// It does not know that session.
    Unknown,
    /// The code was wrong.
    WrongCode,
    /// It has finished, or talks to another.
    Busy,
}

/// The number of a session: all connections for one transfer.
pub(super) type Session = [u8; 16];

/// The keys of one connection, and what a next one proves.
pub(super) struct Keys {
    /// For what leaves.
    pub(super) out: [u8; 32],
    /// For what comes.
    pub(super) back: [u8; 32],
    /// What only these two ends know, for the session's next connection.
    pub(super) secret: [u8; 32],
}

/// The end that connects: says what it wants to prove, and proves it with what it knows. Whoever hears the proof learns
/// whether the one code that it guessed is right: `proven` says that it has left.
///
/// # Errors
/// What the other end refused, or that it does not know the code itself ([`Kind::Tls`]).
pub(super) async fn connect(
    stream: &mut BoxStream,
    way: Way,
    proof: Proof,
    session: Session,
    known: &[u8],
    proven: &AtomicBool,
) -> Result<Option<Keys>, Failure> {
    let (state, element) = begin(proof, known, Side::Connects);
    let ours = write(stream, &Greeting { magic: MAGIC, way, proof, session, element }).await?;
    let theirs = read(stream).await?;
    let greeting = match parse(&theirs)? {
        Welcome::Refusal(refusal) => return Err(Failure::Refused(refusal)),
        Welcome::Greeting(greeting) => greeting,
    };
    if greeting.magic != MAGIC || greeting.way == way || greeting.proof != proof {
        return Err(malformed("a greeting that does not fit").into());
    }
    let Some(state) = state else { return Ok(None) };
    let derived = Derived::of(state, &greeting.element, &ours, &theirs)?;
    proven.store(true, Relaxed);
    write(stream, &derived.expand::<32>(CONNECTS)?).await?;
    match parse(&read(stream).await?)? {
        Ok(proof) if derived.is(LISTENS, proof)? => Ok(Some(derived.keys(Side::Connects)?)),
        Ok(_) => Err(Error::new(Kind::Tls, "the other end does not know the code").into()),
        Err(refusal) => Err(Failure::Refused(refusal)),
    }
}

/// The end that listens. `known` says what is known of what the other end wants to prove, and `settle` hears whether it
/// did, before it hears anything from us, and may still refuse it.
///
/// # Errors
/// What was refused.
pub(super) async fn listen(
    stream: &mut BoxStream,
    way: Way,
    known: impl FnOnce(Proof, Session) -> Result<Vec<u8>, Refusal>,
    mut settle: impl FnMut(bool) -> Result<(), Refusal>,
) -> Result<(Session, Option<Keys>), Failure> {
    let theirs = read(stream).await?;
    let greeting: Greeting = parse(&theirs)?;
    if greeting.magic != MAGIC {
        return Err(malformed("what is not the greeting of a transfer").into());
    }
    let (proof, session) = (greeting.proof, greeting.session);
    let known = if greeting.way == way { Err(Refusal::SameWay) } else { known(proof, session) };
    let known = match known {
        Ok(known) => known,
        Err(refusal) => {
            return refuse(stream, &Welcome::Refusal(refusal), refusal).await;
        }
    };
    let (state, element) = begin(proof, &known, Side::Listens);
    if state.is_none()
        && let Err(refusal) = settle(true)
    {
        return refuse(stream, &Welcome::Refusal(refusal), refusal).await;
    }
    let welcome = Greeting { magic: MAGIC, way, proof, session, element };
    let ours = write(stream, &Welcome::Greeting(welcome)).await?;
    let Some(state) = state else { return Ok((session, None)) };
    let derived = Derived::of(state, &greeting.element, &theirs, &ours)?;
    let right = derived.is(CONNECTS, parse(&read(stream).await?)?)?;
    if let Err(refusal) = settle(right) {
        return refuse(stream, &Err::<[u8; 32], _>(refusal), refusal).await;
    }
    write(stream, &Ok::<_, Refusal>(derived.expand::<32>(LISTENS)?)).await?;
    Ok((session, Some(derived.keys(Side::Listens)?)))
}

/// Says why we leave. What is dropped without an end takes what it said last along, where it runs over datagrams.
async fn refuse<T>(stream: &mut BoxStream, words: &impl Serialize, refusal: Refusal) -> Result<T, Failure> {
    write(stream, words).await?;
    // The other end may be gone.
    let _ = stream.shutdown().await;
    Err(Failure::Refused(refusal))
}

/// What the proofs of the two ends are drawn with.
const CONNECTS: &[u8] = b"proof of the end that connects";
const LISTENS: &[u8] = b"proof of the end that listens";

/// Why there is no pair.
#[derive(Debug)]
pub(super) enum Failure {
    /// The listening end refused, ours or theirs.
    Refused(Refusal),
    /// Something else.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Connects,
    Listens,
}

type State = Spake2<Ed25519Group>;

fn begin(proof: Proof, known: &[u8], side: Side) -> (Option<State>, Vec<u8>) {
    if proof == Proof::Plain {
        return (None, Vec::new());
    }
    let (connects, listens) = (Identity::new(b"hullo connects"), Identity::new(b"hullo listens"));
    let password = Password::new(known);
    let (state, element) = match side {
        Side::Connects => State::start_a(&password, &connects, &listens),
        Side::Listens => State::start_b(&password, &connects, &listens),
    };
    (Some(state), element)
}

/// What keys are drawn from: the shared secret, and what both ends have said.
struct Derived(Prk);

impl Derived {
    fn of(state: State, element: &[u8], connects: &[u8], listens: &[u8]) -> Result<Self> {
        let shared = state.finish(element).map_err(|_| malformed("a greeting that proves nothing"))?;
        let mut said = digest::Context::new(&digest::SHA256);
        for words in [connects, listens] {
            said.update(&(words.len() as u64).to_be_bytes());
            said.update(words);
        }
        Ok(Self(Salt::new(HKDF_SHA256, said.finish().as_ref()).extract(&shared)))
    }

    fn expand<const N: usize>(&self, label: &[u8]) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        let filled = self.0.expand(&[label], Length(N)).and_then(|key| key.fill(&mut bytes));
        filled.map_err(|_| Error::new(Kind::Other, "a key cannot be derived"))?;
        Ok(bytes)
    }

    fn is(&self, label: &[u8], proof: [u8; 32]) -> Result<bool> {
        Ok(verify_slices_are_equal(&self.expand::<32>(label)?, &proof).is_ok())
    }

    fn keys(&self, side: Side) -> Result<Keys> {
        let there = self.expand(b"from the end that connects")?;
        let back = self.expand(b"from the end that listens")?;
        let (out, back) = if side == Side::Connects { (there, back) } else { (back, there) };
        Ok(Keys { out, back, secret: self.expand(b"the next time")? })
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

async fn write(stream: &mut BoxStream, words: &impl Serialize) -> Result<Vec<u8>> {
    let words = postcard::to_allocvec(words).map_err(|_| malformed("a greeting that cannot be written"))?;
    let mut bytes = (words.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&words);
    stream.write_all(&bytes).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    Ok(words)
}

async fn read(stream: &mut BoxStream) -> Result<Vec<u8>> {
    let length = stream.read_u32_le().await.map_err(lost)?;
    if length > LONGEST {
        return Err(malformed("what is not the greeting of a transfer"));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.map_err(lost)?;
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|_| malformed("what is not the greeting of a transfer"))
}

/// The connection is gone. That it ended is as bad as any other way here.
pub(super) fn lost(error: std::io::Error) -> Error {
    Error::io("the connection was lost", error).of(Kind::Cut)
}
