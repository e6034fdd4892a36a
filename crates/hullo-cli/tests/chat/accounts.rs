//! Names that are somebody's for good.

use serde_json::json;

use crate::Chat;

#[test]
fn an_account_is_its_owners() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut ann = chat.typist("ann");
    let mut guest = crate::member::Typist::to(chat.server.port(0));
    guest.asks("/register long enough", "cannot be made an account");
    ann.asks("/register short", "! a password has 8 characters or more");
    ann.types("/register correct horse");
    ann.hears("ann is your account from now on");
    ann.asks("/register correct horse", "! you have an account already: 'ann'");
    ann.asks("/nick bob", "! your name is an account's, and stays");
    ann.asks("/who", "ann (account)");
    guest.asks("/nick Ann", "! the name 'Ann' is taken");
    ann.types("byebye");
    ann.rest();
    guest.hears("ann has left");
    guest.asks("/nick ann", "! the name 'ann' is taken (if it is yours: /login ann PASSWORD)");
    guest.asks("/login ann wrong horse", "! that is not the password of 'ann'");
    guest.asks("/login ann correct horse", "you are ann in lobby");
    // Over all the doors, and in another process too; the password itself is nowhere.
    let chat = chat.again(&["--flood", "off"]);
    assert_eq!(chat.post("/rooms/lobby/messages?name=ann", "", "not me").status, 401);
    let (good, bad) = ("Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=", "Authorization: Basic YW5uOndyb25n");
    assert_eq!(chat.post("/rooms/lobby/messages", good, "it is me").status, 201);
    assert_eq!(chat.post("/rooms/lobby/messages", bad, "not me").status, 401);
    let garbled = "Authorization: Basic nonsense";
    assert_eq!(chat.post("/rooms/lobby/messages?name=bot", garbled, "not me").status, 400, "and no guest instead");
    let mut bot = chat.nobody();
    bot.ask(&json!({"do": "hello", "name": "ann", "password": "correct horse"}));
    let welcome = bot.event("welcome");
    assert_eq!((&welcome["name"], &welcome["account"]), (&json!("ann"), &json!(true)));
    assert_eq!(chat.texts(), ["it is me"]);
    let token = welcome["token"].clone();
    let mut other = chat.nobody();
    other.ask(&json!({"do": "hello", "token": token}));
    assert_eq!(other.event("welcome")["name"], "ann");
    for file in ["chat.db", "chat.db-wal"] {
        let bytes = std::fs::read(chat.home.path(file)).unwrap_or_default();
        assert!(!bytes.windows(7).any(|part| part == b"correct"), "{file}");
    }
}

#[test]
fn who_guesses_passwords_has_to_wait() {
    let chat = Chat::with(&["--flood", "off", "--db", "none", "--auth", "ann:listed one"]);
    let mut eve = chat.typist("eve");
    eve.asks("/nick ann", "! the name 'ann' is taken");
    eve.asks("/register whatever it is", "! there are no accounts here: nothing is kept");
    let waits = (0..20).any(|_| {
        eve.types("/login ann guess");
        eve.hears("! ");
        eve.hears("\n").contains("too many wrong passwords from there: wait ")
    });
    assert!(waits, "{}", eve.all);
}

#[test]
fn an_operator_of_all_rooms_commands_in_all_rooms() {
    let words = ["--flood", "off", "--db", "none", "--auth", "ann:listed one", "--operator", "ann"];
    let chat = Chat::with(&words);
    let (mut bob, mut eve) = (chat.typist("bob"), chat.typist("eve"));
    bob.asks("/kick eve", "! you are not an operator of lobby");
    bob.types("spam");
    eve.hears("bob: spam\n");
    bob.asks("/join mine", "(1 here): bob. You are an operator\n");
    let mut ann = chat.nobody();
    ann.ask(&json!({"do": "hello", "name": "ann", "password": "listed one"}));
    assert_eq!(ann.event("welcome")["account"], true);
    ann.ask(&json!({"do": "join", "room": "lobby"}));
    let spam = ann.event("message");
    assert_eq!(ann.event("joined")["operator"], true);
    ann.does(&json!({"do": "delete", "room": "lobby", "of": spam["uid"]}));
    eve.hears("* ann took a message back\n");
    assert_eq!(chat.texts(), [""]);
    ann.does(&json!({"do": "rule", "room": "lobby", "act": "ban", "name": "bob", "reason": "spam"}));
    bob.hears("you were banned by ann: spam");
    bob.asks("/close", "* bob closed the room");
    ann.joins("mine");
    ann.does(&json!({"do": "rule", "room": "mine", "act": "open"}));
    bob.hears("* ann opened the room to everybody\n");
}

#[test]
fn the_name_of_an_operator_is_nobodys_before_they_have_an_account() {
    let chat = Chat::with(&["--flood", "off", "--operator", "root"]);
    assert!(chat.server.program.so_far().contains("operator 'root' has no account yet"));
    let mut eve = chat.typist("eve");
    eve.asks("/nick Root", "! the name 'Root' is taken (it is an operator's");
    assert_eq!(chat.post("/rooms/lobby/messages?name=root", "", "obey").status, 400);
    let chat = chat.again(&["--flood", "off", "--operator", "root", "--auth", "root:listed one"]);
    assert!(!chat.server.program.so_far().contains("has no account"));
    let mut root = chat.typist("eve");
    root.asks("/login root listed one", "You are an operator");
}

/// A login takes nothing away: not the rooms, also closed ones, nor what a guest commands.
#[test]
fn who_makes_an_account_keeps_rooms_and_offices() {
    let chat = Chat::with(&["--flood", "off"]);
    let (mut ann, mut bob) = (chat.typist("ann"), chat.typist("bob"));
    ann.asks("/join dev", "you are ann in dev");
    ann.asks("/close", "* ann closed the room");
    ann.asks("/msg bob psst", "you are ann in @bob");
    bob.hears("ann: psst");
    ann.asks("/register correct horse", "ann is your account from now on");
    ann.asks("/join dev", "You are an operator");
    ann.asks("/who", "* in dev (1): ann (operator, account)\n");
    let mut other = chat.typist("eve");
    other.asks("/login ann correct horse", "you are ann in lobby");
    other.asks("/join dev", "You are an operator");
}

/// Two pages of one guest: one makes an account, and the other hears what became of it.
#[test]
fn the_other_connections_of_a_new_account_hear_of_it() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut one = chat.nobody();
    one.ask(&json!({"do": "hello", "name": "cleo"}));
    let token = one.event("welcome")["token"].clone();
    let mut other = chat.nobody();
    other.ask(&json!({"do": "hello", "token": token}));
    other.joins("lobby");
    one.ask(&json!({"do": "register", "password": "correct horse"}));
    let notice = other.event("notice")["text"].as_str().unwrap().to_owned();
    assert!(notice.contains("cleo is an account") && notice.contains("you are guest-"), "{notice}");
    assert_eq!(other.until("a presence", |event| event["is"] == "now")["name"], "cleo");
}

/// What somebody left a moment ago is not for others to be taken for them.
#[test]
fn a_name_that_was_left_is_kept_for_who_had_it() {
    let chat = Chat::with(&["--flood", "off", "--db", "none"]);
    let (mut ann, mut eve) = (chat.typist("annette"), chat.typist("eve"));
    ann.asks("/nick ann", "annette is now called ann\n");
    eve.asks("/nick annette", "! the name 'annette' is taken");
    ann.asks("/nick annette", "ann is now called annette\n");
    ann.types("byebye");
    ann.rest();
    eve.hears("annette has left");
    eve.asks("/nick annette", "eve is now called annette\n");
}

/// Reloading a page is no goodbye; saying so is one.
#[test]
fn a_name_is_kept_until_its_guest_says_goodbye() {
    let chat = Chat::with(&["--flood", "off", "--db", "none"]);
    let hello = json!({"do": "hello", "name": "build"});
    let mut first = chat.nobody();
    first.ask(&hello);
    let token = first.event("welcome")["token"].clone();
    drop(first);
    let mut again = chat.nobody();
    again.ask(&json!({"do": "hello", "token": token}));
    assert_eq!(again.event("welcome")["name"], "build");
    let mut other = chat.nobody();
    other.ask(&hello);
    assert!(other.event("error")["error"].as_str().unwrap().contains("taken"));
    again.ask(&json!({"do": "quit"}));
    again.event("bye");
    other.ask(&hello);
    assert_eq!(other.event("welcome")["name"], "build");
}

/// Who makes accounts of their own does not buy guesses of another's password with them.
#[test]
fn accounts_of_ones_own_do_not_pay_for_guesses() {
    let chat = Chat::with(&["--flood", "off", "--auth", "ada:listed one"]);
    let waits = (0..4).any(|round| {
        let mut eve = chat.typist(&format!("eve{round}"));
        eve.asks("/register long enough", "is your account from now on");
        (0..3).any(|_| {
            eve.types("/login ada guess");
            eve.hears("! ");
            eve.hears("\n").contains("too many wrong passwords")
        })
    });
    assert!(waits, "12 wrong passwords, and no wait");
}
