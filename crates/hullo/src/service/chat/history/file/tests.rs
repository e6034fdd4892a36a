//! What is kept is read as it was written, whatever happens between.

use std::{fs, path::PathBuf};

use super::{super::Durable, *};
use crate::chat::{Act, Barred, Rules, What};

mod full;
mod killed;
mod model;
mod speed;

/// A folder of its own, which goes with the test.
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hullo-history-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self) -> String {
        self.0.join("chat.db").display().to_string()
    }

    /// What is in all files of it.
    fn bytes(&self) -> Vec<u8> {
        fs::read_dir(&self.0).unwrap().flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) const ALL: Keep = Keep { count: 1_000_000, age: None };

pub(super) fn entry(id: u64, room: &str, what: What) -> Entry {
    Entry {
        id,
        uid: format!("u{id}").into(),
        room: room.into(),
        from: "ann".into(),
        author: "~1".into(),
        time: 1_000 + id.cast_signed(),
        what,
    }
}

pub(super) fn say(text: &str) -> What {
    What::Say { text: text.to_owned(), me: false, edited: None, deleted: false }
}

pub(super) fn edit(of: u64, text: &str) -> What {
    What::Edit { of: format!("u{of}"), text: text.to_owned() }
}

pub(super) fn delete(of: u64) -> What {
    What::Delete { of: format!("u{of}") }
}

pub(super) fn plain(entry: Entry) -> Write {
    Write { entry: Arc::new(entry), rules: None, position: None, unsent: false, kept: None }
}

impl History {
    /// Appends, and waits until it is durable.
    pub(super) async fn keep(&self, write: Write) -> Result<()> {
        let (tell, told) = oneshot::channel();
        let kept: Durable = Box::new(move |kept| tell.send(kept).unwrap());
        self.append(self.place().await?, Write { kept: Some(kept), ..write });
        told.await.unwrap()
    }

    async fn say(&self, id: u64, room: &str, what: What) {
        self.keep(plain(entry(id, room, what))).await.unwrap();
    }

    async fn ids(&self, room: &str) -> Vec<u64> {
        self.after(room, 0, 1000).await.unwrap().iter().map(|entry| entry.id).collect()
    }

    async fn texts(&self, room: &str, words: &str) -> Vec<String> {
        let found = self.search(room, words, None, 100).await.unwrap();
        found.iter().map(|entry| entry.said().unwrap().text).collect()
    }

    /// Waits until retention has left so many entries in a room.
    async fn shrinks(&self, room: &str, to: usize) {
        let shrinks = async {
            while self.ids(room).await.len() > to {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), shrinks).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_kept_is_there_when_it_is_opened_again() {
    let home = Home::new();
    let barred = Barred { name: "eve".to_owned(), network: Some("10.0.0.1".to_owned()), ..Barred::default() };
    let rules = Rules { topic: "ducks".to_owned(), bans: vec![barred], ..Rules::default() };
    let rule = What::Rule {
        act: Act::Ban,
        name: Some("eve".to_owned()),
        key: None,
        network: Some("10.0.0.1".to_owned()),
        reason: None,
        until: Some(5),
        secret: Some("hash".to_owned()),
    };
    let me = What::Say { text: "waves".to_owned(), me: true, edited: Some(7), deleted: false };
    let gone = What::Say { text: String::new(), me: false, edited: None, deleted: true };
    let whats = [say("hi\nthere"), me, gone, What::Topic { text: "ducks".to_owned() }, rule, delete(99), edit(99, "x")];
    let entries: Vec<_> = (1..).zip(whats).map(|(id, what)| entry(id, "lobby", what)).collect();
    let position = Position { stream: "s".to_owned(), sequence: u64::MAX };
    let log = {
        let Opened { history, log, next, rooms, position: before } = History::open(&home.file(), ALL).unwrap();
        assert_eq!((next, rooms.len(), before), (1, 0, None));
        for entry in &entries {
            let (rules, position) = (Some(Arc::new(rules.clone())), Some(position.clone()));
            history.keep(Write { rules, position, unsent: true, ..plain(entry.clone()) }).await.unwrap();
        }
        assert!(history.register("ann", "Ann", "hash").await.unwrap());
        log
    };
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 1, "one file is left");
    let opened = History::open(&home.file(), ALL).unwrap();
    let history = opened.history;
    assert_eq!((opened.log, opened.next, opened.position), (log, 8, Some(position)));
    assert_eq!(opened.rooms, [("lobby".to_owned(), rules)]);
    assert_eq!(history.after("lobby", 0, 100).await.unwrap(), entries);
    assert_eq!(history.after("lobby", 2, 2).await.unwrap(), entries[2..4]);
    assert_eq!(history.before("lobby", None, 100).await.unwrap(), entries[..3]);
    assert_eq!(history.before("lobby", Some(3), 1).await.unwrap(), entries[1..2]);
    assert_eq!(history.find("u5").await.unwrap().as_ref(), Some(&entries[4]));
    assert_eq!(history.find("u8").await.unwrap(), None);
    assert_eq!(history.unsent(3, 2).await.unwrap(), entries[3..5]);
    history.sent(entries[..6].iter().map(|entry| entry.uid.clone()).collect());
    assert!(!history.register("ann", "ANN", "other").await.unwrap());
    assert_eq!(history.account("ann").await.unwrap(), Some(("Ann".to_owned(), "hash".to_owned())));
    assert_eq!(history.account("bob").await.unwrap(), None);
    assert_eq!(history.unsent(0, 100).await.unwrap(), entries[6..]);
}

#[tokio::test]
async fn a_uid_is_kept_once() {
    let history = History::open(":memory:", ALL).unwrap().history;
    history.say(1, "lobby", say("one")).await;
    let again = Entry { uid: "u1".into(), ..entry(2, "lobby", say("again")) };
    history.keep(plain(again)).await.unwrap();
    assert_eq!(history.ids("lobby").await, [1]);
    assert_eq!(history.texts("lobby", "again").await, [""; 0]);
    assert_eq!(history.written(), 2);
}

#[tokio::test]
async fn what_was_taken_back_is_nowhere() {
    let home = Home::new();
    let history = History::open(&home.file(), ALL).unwrap().history;
    let secrets = ["firstsecret", "secondsecret", "thirdsecret"];
    history.say(1, "lobby", say("before")).await;
    history.say(2, "lobby", say(&secrets[0].repeat(300))).await;
    history.say(3, "lobby", say(secrets[0])).await;
    history.say(4, "lobby", edit(3, secrets[1])).await;
    history.say(5, "lobby", edit(3, secrets[2])).await;
    assert_eq!(history.texts("lobby", "third*").await, [secrets[2]]);
    assert_eq!(history.ids("lobby").await, [1, 2, 3, 5], "an edit that was edited says nothing");
    history.say(6, "lobby", delete(3)).await;
    history.say(7, "lobby", delete(2)).await;
    history.say(8, "lobby", edit(3, secrets[1])).await;
    for words in ["first*", "second*", "third*"] {
        assert_eq!(history.texts("lobby", words).await, [""; 0]);
    }
    assert!(history.before("lobby", None, 9).await.unwrap()[2].said().unwrap().deleted);
    let find = |secret: &str| memchr::memmem::find(&home.bytes(), secret.as_bytes());
    let is_gone = async {
        while secrets.iter().any(|secret| find(secret).is_some()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_gone).await.unwrap();
    assert!(find("before").is_some());
}

/// Members hear a message before it is on the disk, and may ask for it at once.
#[tokio::test]
async fn a_search_finds_what_was_said_before_it() {
    let history = History::open(":memory:", ALL).unwrap().history;
    for id in 1..=100 {
        history.append(history.place().await.unwrap(), plain(entry(id, "lobby", say(&format!("number{id}")))));
        assert_eq!(history.texts("lobby", &format!("number{id}")).await.len(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_search_finds_words_and_means_no_harm() {
    let history = History::open(":memory:", ALL).unwrap().history;
    let texts = ["Crème brûlée", "a well-known duck", "DUCKS AND DRAKES", "12.5 and 日本語"];
    for (id, text) in (1..).zip(texts) {
        history.say(id, "lobby", say(text)).await;
        history.say(id + 10, "other", say(text)).await;
    }
    let cases: [(&str, &[usize]); 16] = [
        ("creme", &[0]),
        ("brul*", &[0]),
        ("brul", &[]),
        ("duck", &[1]),
        ("duck*", &[1, 2]),
        ("drakes ducks", &[2]),
        ("well-known", &[1]),
        ("known-well", &[]),
        ("and 12.5", &[3]),
        ("日本語", &[3]),
        ("duck !!! ?", &[1]),
        ("\"duck\"", &[1]),
        ("du\"ck", &[]),
        ("room:1", &[]),
        ("1 2", &[]),
        ("duck OR creme", &[]),
    ];
    for (words, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|at| texts[*at]).collect();
        assert_eq!(history.texts("lobby", words).await, expected, "{words}");
    }
    let long = "a".repeat(5000);
    let many = "a ".repeat(5000);
    let hostile = [
        "",
        " ",
        "*",
        "\"",
        "\"\"\"",
        "a\"",
        "(",
        "a AND",
        "NOT",
        "NEAR(a b)",
        "^a",
        "{text}:a",
        "a\0b",
        "-a",
        "'",
        "a+b",
        "* *",
        "\u{301}",
        "\u{202e}a",
        &long,
        &many,
    ];
    for words in hostile {
        history.search("lobby", words, None, 10).await.unwrap();
        history.search("nowhere", words, Some(u64::MAX), usize::MAX).await.unwrap();
    }
    assert_eq!(history.search("lobby", "duck*", Some(3), 9).await.unwrap().len(), 1);
    assert_eq!(history.search("lobby", "duck*", None, 1).await.unwrap()[0].id, 3);
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many() {
    let home = Home::new();
    let rules = Rules { topic: "ducks".to_owned(), ..Rules::default() };
    let keep = Keep { count: 10, age: None };
    let history = History::open(&home.file(), keep).unwrap().history;
    history.keep(Write { unsent: true, ..plain(entry(1, "lobby", say("unsent"))) }).await.unwrap();
    history.keep(Write { rules: Some(Arc::new(rules)), ..plain(entry(2, "ruled", say("two"))) }).await.unwrap();
    history.say(3, "@ann+bob", say("three")).await;
    assert_eq!(history.private("bob").await.unwrap(), ["@ann+bob"]);
    for id in 4..=15 {
        history.say(id, "lobby", say("more")).await;
    }
    history.shrinks("lobby", 10).await;
    assert_eq!(history.ids("lobby").await, [1].into_iter().chain(7..=15).collect::<Vec<_>>());
    assert_eq!(history.texts("lobby", "more").await.len(), 9);
    let reaches = [("lobby", 6, true), ("lobby", 5, false), ("ruled", 2, true), ("ruled", 1, false)];
    let forgotten = [("@ann+bob", 3, true), ("@ann+bob", 2, false), ("nowhere", 3, true), ("nowhere", 2, false)];
    for (room, after, expected) in reaches.into_iter().chain(forgotten) {
        assert_eq!(history.reaches(room, after).await.unwrap(), expected, "{room} after {after}");
    }
    assert!(history.private("bob").await.unwrap().is_empty());
    history.sent(vec!["u1".into()]);
    history.say(16, "lobby", say("last")).await;
    history.shrinks("lobby", 10).await;
    assert_eq!(history.ids("lobby").await, (7..=16).collect::<Vec<_>>());
    history.say(17, "@ann+bob", say("again")).await;
    assert!(!history.reaches("@ann+bob", 2).await.unwrap());
    drop(history);
    assert_eq!(History::open(&home.file(), keep).unwrap().rooms.len(), 1, "rules survive");
}

#[tokio::test]
async fn what_is_too_old_goes() {
    let home = Home::new();
    let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    {
        let history = History::open(&home.file(), ALL).unwrap().history;
        for id in 1..=5000 {
            let time = if id == 7 || id > 4990 { now } else { now - 100_000 };
            history.append(history.place().await.unwrap(), plain(Entry { time, ..entry(id, "lobby", say("x")) }));
        }
    }
    let history = History::open(&home.file(), Keep { age: Some(Duration::from_secs(90)), ..ALL }).unwrap().history;
    history.shrinks("lobby", 11).await;
    assert_eq!(history.ids("lobby").await, [7].into_iter().chain(4991..=5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn private_rooms_are_found_by_both_names() {
    let history = History::open(":memory:", ALL).unwrap().history;
    for (id, room) in (1..).zip(["@ann+bob", "@ann+eve", "lobby", "@ann+bob", "@ann+ann"]) {
        history.say(id, room, say("x")).await;
    }
    assert_eq!(history.private("ann").await.unwrap(), ["@ann+ann", "@ann+bob", "@ann+eve"]);
    assert_eq!(history.private("eve").await.unwrap(), ["@ann+eve"]);
    assert!(history.private("lobby").await.unwrap().is_empty());
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let home = Home::new();
    let open = |file: &str| match History::open(file, ALL) {
        Ok(_) => panic!("{file} is opened"),
        Err(error) => error.to_string(),
    };
    let other = Connection::open(home.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    assert!(open(&home.file()).ends_with("it is the file of another program"), "{}", open(&home.file()));
    let newer = home.0.join("newer.db").display().to_string();
    drop(History::open(&newer, ALL).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(open(&newer).ends_with("it was made by a newer hullo"), "{}", open(&newer));
    let text = home.0.join("text").display().to_string();
    fs::write(&text, "no database at all ".repeat(100)).unwrap();
    let nowhere = home.0.join("nowhere/chat.db").display().to_string();
    for file in [text, nowhere] {
        assert_eq!(open(&file).matches(&file).count(), 1, "{}", open(&file));
    }
}
