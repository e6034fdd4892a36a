use std::time::Instant;

use super::*;
use crate::chat::What;

/// A folder of its own, which goes with the test.
struct Home(std::path::PathBuf);

impl Home {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hullo-history-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("chat.db").display().to_string()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn say(id: u64, room: &str, text: &str) -> Entry {
    let what = What::Say { text: text.to_owned(), me: false, edited: None, deleted: false };
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

fn plain(entry: Entry) -> Write {
    Write { entry: Arc::new(entry), rules: None, position: None, unsent: false, kept: None }
}

/// Says how fast messages are appended to one room: `HULLO_COUNT` of them, of 64 bytes, in a file that keeps
/// `HULLO_KEEP`.
#[tokio::test]
#[ignore = "it measures"]
async fn how_fast_it_appends() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, keep) = (number("HULLO_COUNT", 200_000), number("HULLO_KEEP", 1_000_000));
    let home = Home::new();
    let Opened { history, next, .. } = History::open(&home.file(), Keep { count: keep, age: None }).unwrap();
    let words = "the quick brown fox jumps over a lazy dog while it rains in town and nobody knows why".split(' ');
    let words: Vec<_> = words.collect();
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut begun, mut since) = (Instant::now(), 0);
    for at in 0..count {
        let mut text = format!("{:x}", random() % 50_000);
        while text.len() < 60 {
            text.push(' ');
            text.push_str(words[usize::try_from(random() % words.len() as u64).unwrap()]);
        }
        text.truncate(64);
        let mut entry = say(next + at, "lobby", &text);
        entry.uid = format!("{:016x}{:08x}", random(), random() as u32).into();
        history.append(history.place().await.unwrap(), plain(entry));
        since += 1;
        if since == 100_000 {
            println!("{} in all: {:.0} a second", at + 1, f64::from(since) / begun.elapsed().as_secs_f64());
            (begun, since) = (Instant::now(), 0);
        }
    }
    let last = next + count - 1;
    while history.written() < last {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "{} files",
        std::fs::read_dir(&home.0)
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                format!("{:?} {}", file.file_name(), file.metadata().unwrap().len())
            })
            .collect::<Vec<_>>()
            .join(", ")
    );
    let begun = Instant::now();
    let found = history.search("lobby", "quick fox", None, 50).await.unwrap();
    println!("search: {} in {:?}", found.len(), begun.elapsed());
}
