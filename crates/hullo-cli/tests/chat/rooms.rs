//! Names, rooms, and what was said in them.

use serde_json::json;

use crate::{Chat, texts};

/// What somebody wanted to be forgotten.
const SECRET: &str = "hunter2-was-my-password";

#[test]
fn a_name_is_one_persons_and_nobody_elses_look_alike() {
    let chat = Chat::new();
    let (mut ann, mut bob) = (chat.typist("ann"), chat.typist("bob"));
    ann.hears(" is now called bob\n");
    let long = "x".repeat(33);
    // The third `a` is Cyrillic, and what follows it is as wide as a Chinese letter.
    for name in
        ["ann", "ANN", "Ann", "аnn", "ａｎｎ", "a\u{202e}nn", "a:b", "-ann", "server", "Hu11o", "guest-7", &long]
    {
        bob.asks(&format!("/nick {name}"), "! the name '");
    }
    bob.asks("/nick ånn", "* bob is now called ånn\n");
    bob.asks("/nick bob", "* ånn is now called bob\n");
    ann.hears("* bob is now called ånn\n");
    ann.hears("* ånn is now called bob\n");
    // A name that somebody has left is theirs for a while: nobody goes on talking as them.
    ann.asks("/nick zoe", "* ann is now called zoe\n");
    bob.hears("* ann is now called zoe\n");
    bob.asks("/nick ann", "! the name 'ann' is taken");
    ann.asks("/nick ann", "* zoe is now called ann\n");
}

#[test]
fn the_same_token_is_the_same_person_at_any_time() {
    let chat = Chat::new();
    let mut watcher = chat.bot("watcher");
    let ann = chat.bot("ann");
    let token = ann.welcome["token"].clone();
    drop(ann);
    watcher.until("ann has gone", |event| event["is"] == "gone" && event["name"] == "ann");
    let mut thief = chat.nobody();
    assert!(thief.refused(&json!({"do": "hello", "name": "ann"})).contains("taken"));
    assert!(thief.refused(&json!({"do": "hello", "token": "x"})).contains("no token"));
    let mut ann = chat.nobody();
    ann.ask(&json!({"do": "hello", "token": token}));
    let welcome = ann.event("welcome");
    assert_eq!((&welcome["name"], &welcome["token"]), (&json!("ann"), &token));
}

#[test]
fn every_request_with_a_tag_has_an_answer_with_it() {
    let chat = Chat::new();
    let mut ann = chat.bot("ann");
    ann.does(&json!({"do": "hello", "name": "zoe"}));
    ann.joins("lobby");
    for asked in ["ping", "typing", "typing", "quit"] {
        ann.does(&json!({"do": asked, "room": "lobby"}));
    }
    ann.event("bye");
    let mut bob = chat.bot("bob");
    for asked in ["rooms", "who", "history"] {
        bob.ask(&json!({"do": asked, "room": "lobby", "tag": "7"}));
        assert_eq!(bob.event(asked)["tag"], "7");
    }
    // Of what is answered by an event without one, that event comes first.
    bob.ask(&json!({"do": "ping", "tag": "8"}));
    bob.event("pong");
    bob.ask(&json!({"do": "hello", "tag": "9"}));
    bob.event("welcome");
    assert_eq!(bob.event("done")["tag"], "9");
}

#[test]
fn each_room_hears_what_is_said_in_it() {
    let chat = Chat::new();
    let (mut ann, mut bob, mut eve) = (chat.typist("ann"), chat.typist("bob"), chat.typist("eve"));
    ann.hears("guest-3 is now called eve\n");
    ann.asks("/join #Dev", "(1 here): ann. You are an operator\n");
    bob.asks("/join dev", "* you are bob in dev (2 here): ann, bob\n");
    ann.hears("* bob is here (2)\n");
    bob.types("for dev alone");
    ann.hears("bob: for dev alone\n");
    // What is said in a room that is not the current one names it.
    eve.types("for all");
    ann.hears("[lobby] eve: for all\n");
    bob.hears("[lobby] eve: for all\n");
    bob.types("/me waves");
    ann.hears("- bob waves\n");
    ann.asks("/who", "* in dev (2): ann (operator), bob\n");
    ann.asks("/rooms", "lobby (3)");
    ann.hears("dev (2)");
    ann.asks("/topic tea, and more", "* ann set the topic: tea, and more\n");
    bob.asks("/topic mine", "! you are not an operator of dev\n");
    bob.asks("/msg eve psst", "");
    eve.hears("[@bob] bob: psst\n");
    eve.asks("/msg nobody hello", "! there is nobody here who is called 'nobody'");
    bob.asks("/leave", "* you have left dev\n");
    ann.hears("* bob has left (1)\n");
    ann.types("/join lobby");
    ann.hears("you are ann in lobby");
    ann.types("the end");
    eve.hears("ann: the end\n");
    assert!(!eve.all.contains("for dev") && !eve.all.contains("tea"), "{}", eve.all);
    assert!(!ann.all.contains("psst"), "{}", ann.all);
    eve.types("byebye");
    assert_eq!(eve.rest(), "* the server says goodbye: goodbye\n");
}

#[test]
fn who_comes_is_told_what_was_said() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut ann = chat.bot("ann");
    for at in 0..60 {
        ann.says(&format!("number {at}"));
    }
    let mut bob = chat.typist("bob");
    let told: Vec<_> = (50..60).map(|at| format!("ann: number {at}\n")).collect();
    assert!(bob.all.starts_with(&told.concat()), "{}", bob.all);
    bob.asks("/history 3", "number 57\n");
    bob.hears("number 59\n");
    bob.asks("/search number 7", "number 7\n");
    bob.asks("/search numb* 59", "number 59\n");
    bob.asks("/search nothing of the kind", "* there is nothing of that in lobby\n");
    let mut eve = chat.nobody();
    eve.ask(&json!({"do": "join", "room": "lobby", "history": 5}));
    let first = eve.event("message");
    assert_eq!(first["text"], "number 55");
    eve.event("joined");
    eve.ask(&json!({"do": "history", "room": "lobby", "limit": 2, "before": first["id"], "tag": "t"}));
    let history = eve.event("history");
    assert_eq!(texts(&history), ["number 53", "number 54"]);
    assert_eq!((&history["more"], &history["tag"]), (&json!(true), &json!("t")));
    // The same history, in another process.
    let chat = chat.again(&["--flood", "off"]);
    assert_eq!(chat.texts().len(), 60);
    assert!(chat.typist("bob").all.starts_with(&told.concat()));
}

#[test]
fn a_changed_message_reads_as_it_was_changed() {
    let chat = Chat::with(&["--flood", "off"]);
    let (mut ann, mut bob) = (chat.typist("ann"), chat.bot("bob"));
    ann.hears("bob");
    ann.types("helo");
    let uid = bob.text("helo")["uid"].clone();
    assert!(bob.refused(&json!({"do": "edit", "room": "lobby", "of": uid, "text": "no"})).contains("somebody else's"));
    assert!(bob.refused(&json!({"do": "delete", "room": "lobby", "of": uid})).contains("somebody else's"));
    assert!(bob.refused(&json!({"do": "delete", "room": "lobby", "of": "none"})).contains("no message"));
    ann.asks("/edit hello", "* ann changed a message: hello\n");
    let edited = bob.event("edited");
    assert_eq!((&edited["of"], &edited["text"]), (&uid, &json!("hello")));
    bob.says("after it");
    let mut eve = chat.nobody();
    eve.joins("lobby");
    assert_eq!(chat.texts(), ["hello", "after it"]);
    let messages = chat.get("/rooms/lobby/messages").json();
    assert!(messages["messages"][0]["edited"].is_number(), "{messages}");
    assert_eq!(texts(&chat.get("/rooms/lobby/messages?search=helo").json()), [""; 0]);
}

/// Neither what was said first nor what it was changed to is anywhere once it was taken back.
#[test]
fn what_was_taken_back_is_nowhere() {
    for words in [&["--flood", "off"][..], &["--flood", "off", "--db", "none"]] {
        let chat = Chat::with(words);
        let mut bob = chat.bot("bob");
        let first = bob.says("before it");
        let mut ann = chat.typist("ann");
        ann.types(SECRET);
        let uid = bob.text(SECRET)["uid"].clone();
        ann.asks(&format!("/edit {SECRET} indeed"), "changed a message");
        ann.asks("/delete", "* ann took a message back\n");
        assert_eq!(bob.event("deleted")["of"], uid);
        bob.says("after it");
        for after in [None, Some(first["id"].clone()), Some(json!(0))] {
            let mut late = chat.nobody();
            let log = late.welcome["log"].clone();
            late.ask(&json!({"do": "join", "room": "lobby", "after": after, "log": log}));
            loop {
                let event = late.next().unwrap();
                assert!(!event.to_string().contains(SECRET), "after {after:?}, {words:?}: {event}");
                if event["event"] == "joined" {
                    break;
                }
            }
        }
        let late = chat.typist("late");
        assert!(!late.all.contains(SECRET), "{words:?}: {}", late.all);
        let history = chat.get("/rooms/lobby/messages").body;
        assert!(history.contains("after it") && !history.contains(SECRET), "{words:?}: {history}");
        if !words.contains(&"none") {
            assert_eq!(texts(&chat.get("/rooms/lobby/messages?search=hunter2*").json()), [""; 0]);
            // It goes out of the log of the database too, a moment later.
            let begun = std::time::Instant::now();
            let holds = |file: &std::path::Path| {
                let bytes = std::fs::read(file).unwrap_or_default();
                bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
            };
            let files = || std::fs::read_dir(chat.home.path("")).unwrap().map(|file| file.unwrap().path());
            while let Some(file) = files().find(|file| file.is_file() && holds(file)) {
                assert!(begun.elapsed().as_secs() < 20, "it is in {}", file.display());
                std::thread::yield_now();
            }
        }
    }
}
