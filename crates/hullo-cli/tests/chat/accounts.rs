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
    assert_eq!(chat.post("/rooms/lobby/messages?name=ann", "", "not me").status, 400);
    let (good, bad) = ("Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=", "Authorization: Basic YW5uOndyb25n");
    assert_eq!(chat.post("/rooms/lobby/messages", good, "it is me").status, 201);
    assert_eq!(chat.post("/rooms/lobby/messages", bad, "not me").status, 403);
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
    bob.asks("/join mine", "* bob was made an operator by bob\n");
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
