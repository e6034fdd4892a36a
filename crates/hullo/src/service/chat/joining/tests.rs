//! Nothing is missed on the way into a room, and nothing heard twice.
#![cfg(feature = "sqlite")]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::mpsc,
    task::{Context, Poll, Wake, Waker},
};

use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    runtime,
    sync::{Notify, oneshot},
    task::spawn_blocking,
};

use super::{
    super::{posting::Draft, room::Batch},
    *,
};
use crate::{Endpoint, Peer, Scope, link::Link, service::Settings};

/// What is read of the past is there before whoever comes has seen it: between the two, something may be said and
/// written, and the room let go of it.
#[test]
fn what_is_said_at_any_step_of_coming_in_is_heard_once() {
    // One thread reads, so that a step can hold it.
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    for wish in [Wish { after: Some(0), ..Wish::new("dev") }, Wish { history: 10, ..Wish::new("dev") }] {
        let said = |at: &usize| runtime.block_on(comes_in(wish.clone(), *at));
        let steps = (0..).take_while(said).count();
        assert!(steps > 2, "it came in and had read nothing");
    }
}

/// Comes in, and hears once what is said before that step. Says whether there was such a step; else it is said after all
/// of them.
async fn comes_in(wish: Wish, at: usize) -> bool {
    let settings = Settings { database: Some(":memory:".to_owned()), ..Settings::default() };
    let chat = Arc::new(Chat::new(&settings).unwrap());
    // So the log of the room begins behind what was said in another one.
    say(&chat, LOBBY).await;
    let (mut talk, heard) = program(&chat);
    let (ready, mut steps) = (Arc::new(Ready::default()), 0);
    {
        let mut joining = pin!(talk.join(wish.clone()));
        loop {
            if steps == at {
                say(&chat, &wish.room).await;
            }
            steps += 1;
            if let Poll::Ready(joined) = step(joining.as_mut(), &ready) {
                break drop(joined.unwrap());
            }
            timeout(PATIENCE, ready.0.notified()).await.unwrap();
        }
    }
    if steps <= at {
        say(&chat, &wish.room).await;
    }
    let operators = chat.room(&wish.room).unwrap().state().rules.operators.len();
    assert_eq!(operators, usize::from(at >= steps), "who comes first alone is one: said before step {at} of {steps}");
    let told = all(talk, heard).await;
    assert_eq!(told.matches("\"now\"").count(), 1, "said before step {at} of {steps}: {told}");
    at < steps
}

/// One thread may be telling something while another one has a member leave, or come again from what it has seen.
#[tokio::test]
async fn what_is_being_told_does_not_follow_who_has_left() {
    let (chat, mut talk, heard) = in_lobby().await;
    let room = chat.room(LOBBY).unwrap();
    let batch = put(&chat, &room).await;
    talk.leave_all().await;
    talk.tell_me(&Event::Left { room: LOBBY.to_owned(), reason: None });
    room.tell_batch(batch);
    let told = all(talk, heard).await;
    assert!(told.ends_with("{\"event\":\"left\",\"room\":\"lobby\"}\n"), "{told}");
}

#[tokio::test]
async fn what_is_being_told_is_not_heard_twice_by_who_comes_again() {
    let (chat, mut talk, heard) = in_lobby().await;
    let room = chat.room(LOBBY).unwrap();
    let batch = put(&chat, &room).await;
    talk.leave_all().await;
    talk.join(Wish { after: Some(0), ..Wish::new(LOBBY) }).await.unwrap();
    talk.join(Wish { after: Some(1), ..Wish::new(LOBBY) }).await.unwrap();
    room.tell_batch(batch);
    let told = all(talk, heard).await;
    assert_eq!(told.matches("\"now\"").count(), 1, "{told}");
}

/// A program in the lobby.
async fn in_lobby() -> (Arc<Chat>, Box<Talk>, DuplexStream) {
    let settings = Settings { database: Some(":memory:".to_owned()), ..Settings::default() };
    let chat = Arc::new(Chat::new(&settings).unwrap());
    let (mut talk, heard) = program(&chat);
    talk.join(Wish::new(LOBBY)).await.unwrap();
    (chat, talk, heard)
}

/// Says something, which somebody else is about to tell to whoever is here now.
async fn put(chat: &Arc<Chat>, room: &Room) -> Batch {
    room.tell().await;
    let connected = chat.people.guest(false).unwrap();
    let what = What::Say { text: "now".to_owned(), me: false, edited: None, deleted: false };
    chat.post(room, Draft::of(&connected.person, what)).await.unwrap();
    room.state().batch().unwrap()
}

/// All that was told, to the end.
async fn all(mut talk: Box<Talk>, mut heard: DuplexStream) -> String {
    timeout(PATIENCE, talk.inbox.flush()).await.unwrap().unwrap();
    drop(talk);
    let mut told = String::new();
    heard.read_to_string(&mut told).await.unwrap();
    told
}

/// Somebody who is told events, and the other end of their connection.
fn program(chat: &Arc<Chat>) -> (Box<Talk>, DuplexStream) {
    let (stream, heard) = duplex(1 << 16);
    let peer = Peer::new("memory", Endpoint::Unnamed, Endpoint::Unnamed);
    (Talk::through(chat.clone(), Link::over(stream, peer, Scope::default()), Door::Json).unwrap(), heard)
}

/// Is told that the next step can be made, and leaves it to the test when.
#[derive(Default)]
struct Ready(Notify);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls something once. What it begins to read is read afterwards, and so it has to wait for that.
fn step<F: Future>(future: Pin<&mut F>, ready: &Arc<Ready>) -> Poll<F::Output> {
    let (_held, until) = mpsc::channel::<()>();
    drop(spawn_blocking(move || until.recv()));
    future.poll(&mut Context::from_waker(&Waker::from(ready.clone())))
}

/// Says something as one who is in no room. It is on disk then, and not at hand if nobody is there.
async fn say(chat: &Arc<Chat>, room: &str) {
    let (room, connected) = (chat.room(room).unwrap(), chat.people.guest(false).unwrap());
    let (tell, told) = oneshot::channel();
    let kept = Some(Box::new(move |_: &str, id: Result<u64>| tell.send(id).unwrap()) as _);
    let what = What::Say { text: "now".to_owned(), me: false, edited: None, deleted: false };
    chat.post(&room, Draft { kept, ..Draft::of(&connected.person, what) }).await.unwrap();
    room.tell().await;
    timeout(PATIENCE, told).await.unwrap().unwrap().unwrap();
    chat.tidy(&room);
}
