//! Who may do what in a room.

use serde_json::json;

use crate::{Chat, member::Typist};

/// A room of ann's, in which bob is too.
fn dev(chat: &Chat) -> [Typist; 2] {
    let (mut ann, mut bob) = (chat.typist("ann"), chat.typist("bob"));
    ann.hears(" is now called bob\n");
    ann.asks("/join dev", ". You are an operator\n");
    bob.asks("/join dev", "you are bob in dev");
    ann.hears("* bob is here (");
    [ann, bob]
}

#[test]
fn who_made_a_room_puts_others_out_of_it() {
    let chat = Chat::new();
    let [mut ann, mut bob] = dev(&chat);
    bob.asks("/kick ann", "! you are not an operator of dev\n");
    ann.asks("/kick bob be nice", "* bob was kicked by ann: be nice\n");
    bob.hears("* you have left dev: you were kicked by ann: be nice\n");
    bob.asks("hello?", "! you are not in dev");
    ann.types("now he is away");
    bob.asks("/join dev", "you are bob in dev (2 here)");
    ann.asks("/ban bob 1h", "* bob was banned by ann for 1h\n");
    bob.hears("you were banned by ann\n");
    bob.asks("/join dev", "! you are banned from dev\n");
    ann.asks("/unban bob", "* bob was unbanned by ann\n");
    bob.asks("/join dev", "you are bob in dev");
    ann.asks("/op bob", "* bob was made an operator by ann\n");
    bob.asks("/topic of bob", "* bob set the topic: of bob\n");
    bob.asks("/deop ann", "* ann was deopped by bob\n");
    ann.asks("/kick bob", "! you are not an operator of dev\n");
}

/// It would hold for nobody, and say that it does.
#[test]
fn nobody_is_barred_by_a_name_alone() {
    let chat = Chat::with(&["--db", "none", "--flood", "off", "--auth", "zoe:listed one"]);
    let [mut ann, _bob] = dev(&chat);
    for act in ["ban", "mute", "kick", "op"] {
        ann.asks(&format!("/{act} eve"), "! there is nobody here who is called 'eve'\n");
    }
    // An account is somebody, also where they are not.
    ann.asks("/ban zoe", "* zoe was banned by ann\n");
    let mut zoe = chat.typist("eve");
    zoe.asks("/login zoe listed one", "you are zoe in lobby");
    zoe.asks("/join dev", "! you are banned from dev\n");
    ann.asks("/unban zoe", "* zoe was unbanned by ann\n");
    zoe.asks("/join dev", "you are zoe in dev");
}

/// The room would have an operator who cannot even speak.
#[test]
fn who_listens_to_a_new_room_does_not_command_it() {
    let chat = Chat::new();
    let mut events = crate::client::Client::to(chat.server.port(1));
    events.follow("/rooms/dev/events", "");
    events.until("\"joined\"");
    let [mut ann, _bob] = dev(&chat);
    ann.asks("/who", "* in dev (3): ann (operator), bob, guest-1\n");
}

#[test]
fn a_mute_ends_when_it_was_said_to() {
    let chat = Chat::new();
    let [mut ann, mut bob] = dev(&chat);
    ann.asks("/mute bob 1s too loud", "* bob was muted by ann for 1s: too loud\n");
    bob.hears("* bob was muted by ann for 1s: too loud\n");
    bob.asks("x0", "! you are muted in dev\n");
    bob.asks("/topic x", "! you are not an operator of dev\n");
    // Until then each try is refused, and the first one after it is heard.
    let mut tries = 0;
    loop {
        bob.types(&format!("try {tries}"));
        bob.types("/who");
        if !bob.hears("* in dev (2)").contains("! you are muted") {
            break;
        }
        tries += 1;
    }
    ann.hears(&format!("bob: try {tries}\n"));
    assert!(tries > 0 && !ann.all.contains(&format!("try {}\n", tries - 1)), "{}", ann.all);
    ann.asks("/mute bob", "* bob was muted by ann\n");
    bob.asks("x1", "! you are muted in dev\n");
    ann.asks("/unmute bob", "* bob was unmuted by ann\n");
    bob.types("thanks");
    ann.hears("bob: thanks\n");
}

#[test]
fn a_closed_room_lets_in_the_invited() {
    let chat = Chat::new();
    let [mut ann, bob] = dev(&chat);
    drop(bob);
    ann.hears("* bob has left (1)\n");
    ann.asks("/close", "* ann closed the room to all but the invited\n");
    let mut eve = chat.typist("eve");
    eve.asks("/join dev", "! dev is for the invited");
    eve.asks("/join dev nonsense", "! dev is for the invited");
    ann.types("/invite");
    let told = ann.hears(" /join dev ") + &ann.hears("\n");
    let word = told.rsplit(' ').next().unwrap().trim().to_owned();
    assert!(word.len() >= 16, "{told}");
    eve.asks("/rooms", "lobby");
    eve.asks(&format!("/join dev {word}"), "you are eve in dev (2 here): ann, eve. Only the invited may come in");
    assert!(!eve.hears("\n").contains("operator"));
    // The doors of HTTP are closed too, and what is told of rooms does not name it.
    assert_eq!(chat.get("/rooms/dev/messages").status, 403);
    assert_eq!(chat.get("/rooms/dev/people").status, 403);
    assert_eq!(chat.get("/rooms/dev/events").status, 403);
    assert_eq!(chat.post("/rooms/dev/messages?name=web", "", "hi").status, 403);
    assert!(!chat.get("/rooms").body.contains("dev"));
    assert_eq!(chat.get(&format!("/rooms/dev/people?token={word}")).status, 200);
    let mut zoe = chat.typist("zoe");
    zoe.asks("/rooms", "lobby");
    zoe.types("/who dev");
    zoe.hears("! you are not in dev");
    assert!(!zoe.all.contains("[dev]") && !zoe.all.contains("dev (2"), "{}", zoe.all);
    ann.asks("/open", "* ann opened the room to everybody\n");
    zoe.asks("/join dev", "you are zoe in dev (3 here)");
}

/// Nobody reads what two say alone, by whatever door.
#[test]
fn a_private_room_is_of_two() {
    let chat = Chat::new();
    let (mut ann, mut bob, mut eve) = (chat.bot("ann"), chat.bot("bob"), chat.bot("eve"));
    ann.ask(&json!({"do": "tell", "to": "bob", "text": "psst"}));
    let room = bob.text("psst")["room"].clone();
    assert_eq!(room, "@ann+bob");
    for room in ["@ann+bob", "@bob+ann", "@ann+bob+eve", "ann+bob"] {
        for act in ["join", "history", "who", "leave", "invite", "typing"] {
            eve.ask(&json!({"do": act, "room": room, "tag": "t"}));
            let answer = eve.until("an answer", |event| event["tag"] == "t");
            assert_eq!(answer["event"], "error", "{act} {room}: {answer}");
        }
        eve.ask(&json!({"do": "say", "room": room, "text": "hi"}));
    }
    for path in ["messages", "people", "events"] {
        let status = chat.get(&format!("/rooms/@ann+bob/{path}")).status;
        assert!(status >= 400, "{path}: {status}");
        let status = chat.get(&format!("/rooms/%40ann%2Bbob/{path}")).status;
        assert!(status >= 400, "{path}: {status}");
    }
    assert!(chat.post("/rooms/@ann+bob/messages?name=web", "", "hi").status >= 400);
    bob.ask(&json!({"do": "say", "room": room, "text": "the end"}));
    bob.until("the end", |event| {
        assert!(event["from"] != "eve" || event["event"] != "message", "{event}");
        event["text"] == "the end"
    });
    eve.ask(&json!({"do": "ping"}));
    eve.until("a pong", |event| {
        assert!(event["text"] != "psst" && event["text"] != "the end", "{event}");
        event["event"] == "pong"
    });
}

/// Somebody with two connections is put out with both, and comes back with both.
#[test]
fn who_was_put_out_hears_again_when_they_come_again() {
    let chat = Chat::new();
    let (mut ann, mut bob) = (chat.bot("ann"), chat.bot("bob"));
    ann.joins("dev");
    let mut other = chat.nobody();
    other.ask(&json!({"do": "hello", "token": bob.welcome["token"]}));
    other.event("welcome");
    for bob in [&mut bob, &mut other] {
        bob.joins("dev");
    }
    ann.does(&json!({"do": "rule", "room": "dev", "act": "kick", "name": "bob"}));
    for bob in [&mut bob, &mut other] {
        bob.event("left");
    }
    bob.joins("dev");
    let refused = other.refused(&json!({"do": "say", "room": "dev", "text": "I am not here"}));
    assert!(refused.contains("you are not in dev"), "{refused}");
    other.joins("dev");
    ann.does(&json!({"do": "say", "room": "dev", "text": "welcome back"}));
    bob.text("welcome back");
    other.text("welcome back");
}

/// What is only asked for takes up nothing.
#[test]
fn rooms_are_not_made_by_looking_for_them() {
    let chat = Chat::new();
    let mut client = crate::client::Client::to(chat.server.port(1));
    let mut bob = chat.bot("bob");
    for at in 0..5001 {
        assert_eq!(client.get(&format!("/rooms/web-{at}/messages")).status, 200);
        bob.send(&format!("{{\"do\":\"who\",\"room\":\"asked-{at}\"}}"));
        assert!(bob.event("error")["error"].as_str().unwrap().contains("you are not in asked-"));
    }
    assert_eq!(client.get("/rooms").json().as_array().unwrap().len(), 1);
    bob.joins("one-more");
}

/// A ban holds for who has just gone, and is lifted however the name is written.
#[test]
fn who_has_just_gone_is_banned_all_the_same() {
    let chat = Chat::with(&["--db", "none", "--flood", "off"]);
    let [mut ann, bob] = dev(&chat);
    let mut eve = chat.bot("mallory");
    eve.joins("dev");
    ann.hears("* mallory is here (");
    drop(eve);
    ann.hears("* mallory has left (");
    ann.asks("/ban MALLORY", "* MALLORY was banned by ann\n");
    ann.asks("/unban bob", "! nobody who is called 'bob' is banned here\n");
    ann.asks("/unban mallory", "* mallory was unbanned by ann\n");
    ann.asks("/unban mallory", "! nobody who is called 'mallory' is banned here\n");
    ann.asks("/unmute bob", "! nobody who is called 'bob' is muted here\n");
    ann.asks("/deop bob", "! nobody who is called 'bob' is an operator here\n");
    drop(bob);
}

#[test]
fn a_visitor_is_muted_between_two_requests() {
    let chat = Chat::with(&["--db", "none", "--flood", "off"]);
    let [mut ann, _bob] = dev(&chat);
    assert_eq!(chat.post("/rooms/dev/messages?name=web", "", "spam").status, 201);
    ann.hears("web: spam\n");
    ann.asks("/mute web", "* web was muted by ann\n");
    assert_eq!(chat.post("/rooms/dev/messages?name=web", "", "spam").status, 403);
}
